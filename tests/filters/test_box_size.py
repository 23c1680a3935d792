"""box_size: sides in pixels, areas as a share of the image, bounds inclusive."""

from __future__ import annotations

from typing import Any

import pytest

from filters.box_size import box_size
from tests.builders import reasons, record, region


@pytest.mark.parametrize(
    ("box", "options", "reason"),
    [
        ((0, 0, 3.9, 50), {}, "box_size.side"),
        ((0, 0, 50, 3.9), {}, "box_size.side"),
        ((0, 0, 4, 50), {}, ""),
        ((0, 0, 10, 10), {"min_share": 0.01}, ""),
        ((0, 0, 10, 9), {"min_share": 0.01}, "box_size.min_share"),
        ((0, 0, 50, 100), {"max_share": 0.5}, ""),
        ((0, 0, 51, 100), {"max_share": 0.5}, "box_size.max_share"),
        ((-0.5, 0, 100.5, 100), {}, ""),
    ],
)
def test_bounds_are_inclusive(box: tuple[float, ...], options: dict[str, Any], reason: str) -> None:
    assert reasons(record(regions=[region(box, id="a")]), (box_size, options))["a"] == reason


def test_a_human_box_may_have_any_size() -> None:
    assert reasons(record(regions=[region((0, 0, 1, 1), id="a", score=None)]), box_size)["a"] == ""


def test_a_producer_or_a_label_may_have_its_own_bounds() -> None:
    thin = (10, 10, 13, 60)
    shard = record(
        regions=[region(thin, id="a"), region(thin, id="b", producer="ocr"), region(thin, id="c", label="Pole")]
    )
    options = {"by_producer": {"ocr": {"min_side": 2}}, "by_label": {"pole": {"min_side": 3, "max_share": 0.5}}}
    found = reasons(shard, (box_size, options))
    assert (found["a"], found["b"], found["c"]) == ("box_size.side", "", "")
