"""Location of boxes in a photo, and the direction from one box to another. Only clear cases get an answer.

Both are in the picture plane. Depth is never stated, because boxes cannot show it: a horse under its rider, a chair
under a person and a dog in front of a sofa look alike. A box near the line between left and centre is neither.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from engine.schema import Region

SIDE = 0.4  # a box is on the left (or at the top) if its centre is before SIDE and its end before 1 - SIDE
FILLS = 0.95  # a box that covers this share of both width and height has no location
TOUCH = 0.1  # boxes are side by side even if they overlap by this share of the smaller one
BESIDE, STACKED = 0.4, 0.6  # least overlap in height (of boxes side by side), in width (of one above the other)
PLACES = {
    (-1, -1): "at the top left",
    (-1, 1): "at the top right",
    (1, -1): "at the bottom left",
    (1, 1): "at the bottom right",
    (-1, 0): "at the top",
    (1, 0): "at the bottom",
    (0, -1): "on the left",
    (0, 1): "on the right",
    (0, 0): "in the middle",
}


@dataclass(frozen=True, slots=True)
class Picture:
    width: int
    height: int

    def place(self, regions: Sequence[Region]) -> str:
        """The corner, side or middle where all of these regions are; '' if they have no location in common."""
        if any(self._filled(region) for region in regions):
            return ""
        columns = {_side(region.x1, region.x2, self.width) for region in regions}
        rows = {_side(region.y1, region.y2, self.height) for region in regions}
        column = columns.pop() if len(columns) == 1 else None
        row = rows.pop() if len(rows) == 1 else None
        if column is None and row is None:
            return ""
        if 0 in (column, row) and None in (column, row):
            return ""  # in the middle of one direction, but spread over the other
        return PLACES[row or 0, column or 0]

    def _filled(self, region: Region) -> bool:
        return min((region.x2 - region.x1) / self.width, (region.y2 - region.y1) / self.height) >= FILLS


def _side(low: float, high: float, size: int) -> int | None:
    """-1: left or top. 1: right or bottom. 0: in the middle. None: none of these clearly."""
    low, high = low / size, high / size
    centre = (low + high) / 2
    if centre < SIDE and high <= 1 - SIDE:
        return -1
    if centre > 1 - SIDE and low >= SIDE:
        return 1
    return 0 if SIDE <= centre <= 1 - SIDE else None


def relation(one: Region, other: Region) -> str:
    """Where the first box is, seen from the second, in the picture plane; '' if no simple word fits."""
    across, down = _reach(one.x1, one.x2, other.x1, other.x2), _reach(one.y1, one.y2, other.y1, other.y2)
    if across <= TOUCH and down >= BESIDE:
        return "to the left of" if one.x1 < other.x1 else "to the right of"
    if down <= TOUCH and across >= STACKED:
        return "above" if one.y1 < other.y1 else "below"
    return ""


def _overlap(a1: float, a2: float, b1: float, b2: float) -> float:
    return max(0.0, min(a2, b2) - max(a1, b1))


def _reach(a1: float, a2: float, b1: float, b2: float) -> float:
    """The common part of two intervals as a share of the shorter."""
    return _overlap(a1, a2, b1, b2) / max(min(a2 - a1, b2 - b1), 1e-9)
