"""Locations and directions in the picture plane, and none in unclear cases."""

from __future__ import annotations

import pytest

from engine.records.boxes import Box
from engine.schema import Region
from specialists.composer.picture_plane import Picture, relation


def thing(*box: float) -> Region:
    return Region(*box, label="thing")


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ((0, 0, 60, 60), "at the top left"),
        ((240, 100, 300, 200), "on the right"),
        ((100, 240, 200, 300), "at the bottom"),
        ((100, 100, 200, 200), "in the middle"),
        ((0, 0, 280, 300), "in the middle"),
        ((0, 0, 290, 300), ""),  # everywhere
        ((0, 0, 200, 200), ""),  # from the left edge across the middle
        ((20, 0, 60, 300), "on the left"),
    ],
)
def test_a_location_is_given_only_in_clear_cases(box: Box, expected: str) -> None:
    assert Picture(300, 300).place([thing(*box)]) == expected


def test_several_boxes_have_the_location_they_share() -> None:
    corners = [thing(0, 0, 40, 40), thing(0, 260, 40, 300)]
    assert Picture(300, 300).place(corners) == "on the left"
    assert Picture(300, 300).place([*corners, thing(260, 0, 300, 40)]) == ""


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ((0, 100, 95, 200), "to the left of"),
        ((205, 100, 300, 200), "to the right of"),
        ((110, 0, 190, 95), "above"),
        ((110, 205, 190, 300), "below"),
        ((120, 120, 180, 180), ""),
        ((0, 0, 50, 50), ""),
        ((0, 190, 95, 300), ""),  # beside, but for the most part lower
    ],
)
def test_a_direction_is_given_only_in_clear_cases(box: Box, expected: str) -> None:
    assert relation(thing(*box), thing(100, 100, 200, 200)) == expected
