"""The location of boxes in a photo, and the direction from one box to another. Only clear cases get an answer.

Both are in the picture plane. Depth is never stated, because boxes cannot show it: a horse under its rider, a chair
under a person and a dog in front of a sofa look alike. A box near the line between left and centre counts as neither.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from engine.schema import Region

SIDE = 0.4  # a box is on the left (at the top) if its centre is below SIDE and its right (lower) edge at most 1 - SIDE
FILLS = 0.95  # a box that covers this share of both width and height has no location
TOUCH = 0.1  # boxes still count as side by side if they overlap by at most this share of the shorter one
BESIDE, STACKED = 0.4, 0.6  # least overlap: vertical for boxes side by side, horizontal for boxes above each other
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
        """The corner, side or middle in which all of these regions lie; '' if they have no such place in common."""
        if any(self._filled(region) for region in regions):
            return ""
        columns = {_side(region.x1, region.x2, self.width) for region in regions}
        rows = {_side(region.y1, region.y2, self.height) for region in regions}
        column = columns.pop() if len(columns) == 1 else None
        row = rows.pop() if len(rows) == 1 else None
        if column is None and row is None:
            return ""
        if 0 in (column, row) and None in (column, row):
            return ""  # in the middle along one axis, but without a clear place along the other
        return PLACES[row or 0, column or 0]

    def _filled(self, region: Region) -> bool:
        return min((region.x2 - region.x1) / self.width, (region.y2 - region.y1) / self.height) >= FILLS


def _side(low: float, high: float, size: int) -> int | None:
    """The place of an interval along an axis of length `size`. -1: left or top. 1: right or bottom. 0: in the middle.
    None: no clear place.
    """
    low, high = low / size, high / size
    centre = (low + high) / 2
    if centre < SIDE and high <= 1 - SIDE:
        return -1
    if centre > 1 - SIDE and low >= SIDE:
        return 1
    return 0 if SIDE <= centre <= 1 - SIDE else None


def relation(one: Region, other: Region) -> str:
    """The direction from the second box to the first in the picture plane, such as "above"; '' if none is clear."""
    across, down = _reach(one.x1, one.x2, other.x1, other.x2), _reach(one.y1, one.y2, other.y1, other.y2)
    if across <= TOUCH and down >= BESIDE:
        return "to the left of" if one.x1 < other.x1 else "to the right of"
    if down <= TOUCH and across >= STACKED:
        return "above" if one.y1 < other.y1 else "below"
    return ""


def _overlap(a1: float, a2: float, b1: float, b2: float) -> float:
    return max(0.0, min(a2, b2) - max(a1, b1))


def _reach(a1: float, a2: float, b1: float, b2: float) -> float:
    """The overlap of two intervals as a share of the shorter one."""
    return _overlap(a1, a2, b1, b2) / max(min(a2 - a1, b2 - b1), 1e-9)
