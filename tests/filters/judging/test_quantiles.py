"""Limits given as quantiles: where they may be in a recipe, which rows they apply to, and their numbers."""

from __future__ import annotations

import numpy as np
import pytest

from engine.errors import ConfigError
from filters.judging.quantiles import compared_values, filled, placeholders, quantile, quantile_paths
from filters.verdict import Verdict

OPTIONS = {
    "max_objects": {"brief": {"quantile": 0.9}, "detailed": 30},
    "by_producer": {"web": {"brief": {"quantile": 0.5}}},
    "plain": 3,
}
BRIEF, WEB = ("max_objects", "brief"), ("by_producer", "web", "brief")


def test_quantiles_are_found_at_any_depth_of_the_options() -> None:
    assert quantile_paths(OPTIONS) == {BRIEF: 0.9, WEB: 0.5}


def test_an_option_may_be_a_quantile_itself() -> None:
    assert quantile_paths({"floor": {"quantile": 0.05}}) == {("floor",): 0.05}


@pytest.mark.parametrize("share", [0, 1, 1.5, -0.1, "most", True])
def test_a_quantile_outside_0_to_1_is_one_sentence(share: object) -> None:
    with pytest.raises(ConfigError, match="give a number between 0 and 1"):
        quantile_paths({"floor": {"quantile": share}})


def test_quantiles_are_replaced_by_numbers_and_other_options_stay() -> None:
    assert filled(OPTIONS, {BRIEF: 7, WEB: 2}) == {
        "max_objects": {"brief": 7, "detailed": 30},
        "by_producer": {"web": {"brief": 2}},
        "plain": 3,
    }


def test_the_compared_values_are_those_with_the_placeholder_as_threshold() -> None:
    numbers = placeholders([BRIEF, WEB])
    threshold = np.array([numbers[BRIEF], numbers[WEB], 30.0, numbers[BRIEF]])
    verdict = Verdict(np.ones(4, bool), "rule", np.array([1.0, 2.0, 3.0, np.nan]), threshold)
    assert compared_values([verdict], numbers[BRIEF]).tolist() == [1.0]
    assert compared_values([verdict], numbers[WEB]).tolist() == [2.0]


def test_a_quantile_is_the_smallest_value_that_the_share_does_not_exceed() -> None:
    values, counts = np.array([5.0, 1.0, 2.0]), np.array([1.0, 98.0, 1.0])
    assert [quantile(values, counts, share) for share in (0.5, 0.98, 0.981, 0.99, 0.991)] == [1, 1, 2, 2, 5]


def test_a_weighted_quantile_equals_that_of_numpy_on_repeated_values() -> None:
    everything = np.random.default_rng(0).integers(0, 50, 1000)
    values, counts = np.unique(everything, return_counts=True)
    for share in (0.01, 0.1, 0.5, 0.9, 0.99, 0.999):
        exact = np.quantile(everything, share, method="inverted_cdf")
        assert quantile(values.astype(float), counts.astype(float), share) == exact


def test_the_quantile_of_no_values_is_zero() -> None:
    assert quantile(np.zeros(0), np.zeros(0), 0.9) == 0
