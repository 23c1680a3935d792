"""min_side: drops images with a short side, and all their annotations."""

from __future__ import annotations

import pytest

from filters.min_side import min_side
from tests.builders import images, reasons, record, region


@pytest.mark.parametrize(("width", "height", "reason"), [(64, 500, ""), (63, 500, "min_side"), (500, 63, "min_side")])
def test_the_shorter_side_decides(width: int, height: int, reason: str) -> None:
    shard = record(regions=[region()])
    assert reasons(shard, min_side, sizes=images(shard, width, height))["0" * 32] == reason


def test_all_annotations_of_a_dropped_image_are_dropped() -> None:
    shard = record(regions=[region(id="a"), region(id="h", score=None)])
    found = reasons(shard, min_side, sizes=images(shard, 10, 10))
    assert (found["a"], found["h"]) == ("image_dropped", "image_dropped")
