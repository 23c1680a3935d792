"""box_sanity: finite, with area, inside the image."""

from __future__ import annotations

import pytest

from filters.box_sanity import box_sanity
from tests.builders import reasons, record, region


@pytest.mark.parametrize(
    ("box", "reason"),
    [
        ((float("nan"), 0, 5, 5), "box_sanity.finite"),
        ((0, 0, float("inf"), 5), "box_sanity.finite"),
        ((5, 0, 5, 5), "box_sanity.area"),
        ((0, 9, 5, 5), "box_sanity.area"),
        ((-0.6, 0, 5, 5), "box_sanity.inside"),
        ((0, 0, 5, 100.6), "box_sanity.inside"),
        ((-0.5, 0, 100.5, 100), ""),
        ((0, 0, 100, 100), ""),
    ],
)
def test_a_box_is_finite_has_area_and_lies_inside(box: tuple[float, ...], reason: str) -> None:
    assert reasons(record(regions=[region(box, id="a")]), box_sanity)["a"] == reason


def test_a_human_box_passes() -> None:
    assert reasons(record(regions=[region((-50, 0, 5, 5), id="a", score=None)]), box_sanity)["a"] == ""
