"""Bounds: which number applies to a row, and which options are refused."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from engine.errors import ConfigError
from engine.records.columns import ParsedTexts, Phrases, Regions, Shard, Texts
from filters.judging.bounds import one_option, row_bounds, text_bounds
from filters.judging.quantiles import compared_values, filled, placeholders, quantile_paths
from filters.min_complexity import min_complexity
from filters.text_length import text_length
from filters.too_many_objects import too_many_objects
from tests.builders import images, parse, parsed, phrase, reasons, record, region, text

DEFAULTS = {"brief": 1.0, "detailed": 2.0, "more_detailed": 3.0}
THREE = record(
    texts=[text(granularity="brief"), text(granularity="detailed"), text(granularity="brief", producer="web")]
)


def bounds(given: Any, by_producer: Any = None) -> list[float]:
    texts = Texts(Shard(THREE, images(THREE)))
    return text_bounds(
        texts, "cap", given, defaults=DEFAULTS, otherwise=math.inf, by_producer=by_producer or {}
    ).tolist()


def test_a_number_holds_for_every_granularity() -> None:
    assert bounds(7) == [7, 7, 7]


def test_a_granularity_that_is_not_named_keeps_its_default() -> None:
    assert bounds({"brief": 7}) == [7, 2, 7]


def test_a_producer_may_have_its_own_number_or_its_own_for_one_granularity() -> None:
    assert bounds({"detailed": 9}, {"web": 5}) == [1, 9, 5]
    assert bounds({"brief": 7}, {"web": {"brief": 5}}) == [7, 2, 5]
    assert bounds({"brief": 7}, {"web": {"detailed": 5}}) == [7, 2, 7]


def test_bounds_for_a_producer_without_rows_change_nothing() -> None:
    assert bounds({}, {"nobody": 5}) == [1, 2, 1]


def test_a_quantile_applies_to_the_rows_it_was_given_for() -> None:
    options = {"max_objects": {"brief": {"quantile": 0.9}}, "by_producer": {"web": {"quantile": 0.5}}}
    numbers = placeholders(list(quantile_paths(options)))
    shard = record(texts=[text("One.", id="a"), text("Two.", "detailed"), text("Two.", producer="web")])
    parses = parse(parsed("One.", objects=["cat"]), parsed("Two.", objects=["cat"] * 2))
    verdict = too_many_objects(ParsedTexts(Shard(shard, images(shard), parses)), **filled(options, numbers))
    brief, web = (compared_values([verdict], number).tolist() for number in numbers.values())
    assert (brief, web) == ([1], [2])


def test_an_unknown_granularity_has_the_general_bound() -> None:
    shard = record(texts=[text(granularity="odd")])
    odd = Texts(Shard(shard, images(shard)))
    assert text_bounds(odd, "cap", {}, defaults=DEFAULTS, otherwise=9).tolist() == [9]
    assert text_bounds(odd, "cap", 4, defaults=DEFAULTS, otherwise=9).tolist() == [4]


def test_a_phrase_has_the_bound_of_its_text() -> None:
    shard = record(
        texts=[text(id="b"), text(id="d", granularity="detailed")], phrases=[phrase("d"), phrase("gone"), phrase("b")]
    )
    phrases = Phrases(Shard(shard, images(shard)))
    assert text_bounds(phrases, "floor", {"brief": 5}, defaults=DEFAULTS, otherwise=9).tolist() == [2, 9, 5]


def test_the_bound_of_a_label_overrides_the_bound_of_its_producer() -> None:
    shard = record(regions=[region(), region(producer="ocr"), region(producer="ocr", label=" Traffic  LIGHT")])
    regions = Regions(Shard(shard, images(shard)))
    found = row_bounds(regions, "floor", 0.3, by_producer={"ocr": 0.5}, by_label={"traffic light": 0.7})
    np.testing.assert_array_equal(found, [0.3, 0.5, 0.7])


@pytest.mark.parametrize("rule", [too_many_objects, text_length, min_complexity])
@pytest.mark.parametrize("bad", ["ten", [10], True, math.nan, {"brief": "ten"}, {"brief": {"quantile": 0.9}}])
def test_a_bound_that_is_neither_a_number_nor_numbers_by_granularity_is_refused(rule: Any, bad: Any) -> None:
    option = {"too_many_objects": "max_objects", "text_length": "max_tokens", "min_complexity": "min_action"}
    with pytest.raises(ConfigError, match=f"The bound {option[rule.__name__]}.*give a number"):
        reasons(record(texts=[text()]), (rule, {option[rule.__name__]: bad}), parse=parse(parsed()))


def test_a_single_number_for_a_producer_is_refused_if_the_rule_has_several_bounds() -> None:
    with pytest.raises(ConfigError, match="'web' has 5"):
        one_option({"web": 5}, "max_tokens", ("min_tokens", "max_tokens"))  # type: ignore[dict-item]
    with pytest.raises(ConfigError, match="did you mean 'max_tokens'"):
        one_option({"web": {"max_token": 5}}, "max_tokens", ("min_tokens", "max_tokens"))
