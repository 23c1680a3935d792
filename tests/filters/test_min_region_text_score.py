"""min_region_text_score: texts of regions are judged by the image score `image_text` whose parent they are."""

from __future__ import annotations

from typing import Any

import pytest

from filters.min_region_text_score import min_region_text_score
from tests.builders import image_score, reasons, record, region, region_text

FLOOR = "min_region_text_score.floor"


def judged(value: float | None, **options: Any) -> str:
    scores = [] if value is None else [image_score("image_text", value, parents=["x"])]
    shard = record(regions=[region(id="r")], region_texts=[region_text("r", id="x")], image_scores=scores)
    return reasons(shard, (min_region_text_score, options))["x"]


@pytest.mark.parametrize(
    ("value", "options", "reason"),
    [
        (0.1, {"floor": 0.1}, ""),
        (0.09, {"floor": 0.1}, FLOOR),
        (-0.1, {}, FLOOR),
        (0.09, {"by_producer": {"model": 0.1}}, FLOOR),
        (None, {"floor": 0.1}, ""),
        (None, {"drop_unmeasured": True}, "min_region_text_score.unmeasured"),
    ],
)
def test_a_text_below_the_floor_is_dropped(value: float | None, options: dict[str, Any], reason: str) -> None:
    assert judged(value, **options) == reason


def test_its_region_stays() -> None:
    score = image_score("image_text", 0.0, parents=["x"])
    shard = record(regions=[region(id="r")], region_texts=[region_text("r", id="x")], image_scores=[score])
    found = reasons(shard, (min_region_text_score, {"floor": 0.5}))
    assert (found["x"], found["r"]) == (FLOOR, "")
