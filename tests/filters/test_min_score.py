"""min_score: floors are inclusive, each producer may have its own, and human regions pass."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from engine.errors import ConfigError
from engine.records.columns import Regions, Shard
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


def test_a_label_may_have_its_own_floor_before_its_producer() -> None:
    shard = record(regions=[region(id="a", label="Person"), region(id="b", label="cat"), region(id="c", score=0.6)])
    found = reasons(shard, (min_score, {"by_producer": {"model": 0.7}, "by_label": {"person": 0.95}}))
    assert (found["a"], found["b"], found["c"]) == ("min_score", "", "min_score")


def test_calibrated_scores_are_compared_with_one_floor(tmp_path: Path) -> None:
    path = tmp_path / "curves.json"
    path.write_text('{"proud": {"x": [0.0, 1.0], "y": [0.0, 0.5]}}')
    shard = record(
        regions=[region(id="a", producer="proud", score=0.8), region(id="b", score=0.5), region(id="h", score=None)]
    )
    assert reasons(shard, (min_score, {"floor": 0.45}))["a"] == ""
    found = reasons(shard, (min_score, {"floor": 0.45, "calibration": str(path)}))
    assert (found["a"], found["b"], found["h"]) == ("min_score", "", "")
    verdict = min_score(Regions(Shard(shard, images(shard))), calibration=str(path))
    np.testing.assert_allclose(verdict.value, [0.4, 0.5, np.nan], atol=1e-6)


def test_a_missing_calibration_is_refused_in_one_sentence() -> None:
    with pytest.raises(ConfigError, match="No calibration at"):
        reasons(record(regions=[region()]), (min_score, {"calibration": "/nowhere.json"}))


def test_a_human_region_has_no_score_and_passes() -> None:
    assert reasons(record(regions=[region(id="a", score=None)]), (min_score, {"floor": 1.0}))["a"] == ""


def test_value_and_threshold_are_the_compared_numbers() -> None:
    shard = record(regions=[region(score=0.25)])
    verdict = min_score(Regions(Shard(shard, images(shard))))
    np.testing.assert_array_equal(verdict.value, [0.25])
    np.testing.assert_array_equal(verdict.threshold, [0.3])
