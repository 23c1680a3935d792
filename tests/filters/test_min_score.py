"""min_score: floors are inclusive, each producer may have its own, humans pass."""

from __future__ import annotations

import numpy as np

from engine.columns import Regions, Shard
from filters.min_score import min_score
from tests.builders import images, reasons, record, region


def test_a_region_below_the_floor_is_dropped() -> None:
    assert reasons(record(regions=[region(id="a", score=0.29)]), min_score)["a"] == "min_score"


def test_a_region_at_the_floor_is_kept() -> None:
    assert reasons(record(regions=[region(id="a", score=0.7)]), (min_score, {"floor": 0.7}))["a"] == ""


def test_a_producer_may_have_its_own_floor() -> None:
    shard = record(regions=[region(id="a", producer="shy", score=0.1), region(id="b", score=0.1)])
    found = reasons(shard, (min_score, {"by_producer": {"shy": 0.05}}))
    assert (found["a"], found["b"]) == ("", "min_score")


def test_a_human_region_has_no_score_and_passes() -> None:
    assert reasons(record(regions=[region(id="a", score=None)]), (min_score, {"floor": 1.0}))["a"] == ""


def test_value_and_threshold_say_what_was_compared() -> None:
    shard = record(regions=[region(score=0.25)])
    verdict = min_score(Regions(Shard(shard, images(shard))))
    np.testing.assert_array_equal(verdict.value, [0.25])
    np.testing.assert_array_equal(verdict.threshold, [0.3])
