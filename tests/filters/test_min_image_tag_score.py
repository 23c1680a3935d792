"""min_image_tag_score: judges a tag by the image score `image_text` that has it as its parent."""

from __future__ import annotations

from typing import Any

import pytest

from filters.min_image_tag_score import min_image_tag_score
from tests.builders import image_score, reasons, record, tag

FLOOR = "min_image_tag_score.floor"


@pytest.mark.parametrize(
    ("value", "options", "reason"),
    [
        (0.1, {"floor": 0.1}, ""),
        (0.09, {"floor": 0.1}, FLOOR),
        (-0.1, {}, FLOOR),
        (0.09, {"by_producer": {"model": 0.1}}, FLOOR),
        (0.15, {"by_label": {"Marimba": 0.2}, "by_producer": {"model": 0.1}}, FLOOR),
        (None, {"floor": 0.1}, ""),
        (None, {"drop_unmeasured": True}, "min_image_tag_score.unmeasured"),
    ],
)
def test_a_tag_below_the_floor_is_dropped(value: float | None, options: dict[str, Any], reason: str) -> None:
    scores = [] if value is None else [image_score("image_text", value, parents=["g"])]
    shard = record(tags=[tag("marimba", id="g")], image_scores=scores)
    assert reasons(shard, (min_image_tag_score, options))["g"] == reason
