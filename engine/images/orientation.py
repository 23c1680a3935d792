"""The eight orientations of EXIF: turns pixels, points, boxes and masks from `stored` to `upright` (see decode.py)."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

# orientation: swap x and y first, then mirror left-right, then mirror top-bottom.
_TURNS = {
    1: (False, False, False),
    2: (False, True, False),
    3: (False, True, True),
    4: (False, False, True),
    5: (True, False, False),
    6: (True, True, False),
    7: (True, True, True),
    8: (True, False, True),
}


def orient_array(array: npt.NDArray[Any], orientation: int) -> npt.NDArray[Any]:
    """Turn pixels or a mask (rows, columns, ...) from stored to upright. Returns a view of the array, not a copy."""
    swap, mirror_x, mirror_y = _TURNS[orientation]
    if swap:
        array = array.swapaxes(0, 1)
    return array[:: -1 if mirror_y else 1, :: -1 if mirror_x else 1]


def orient_point(x: float, y: float, raw_width: float, raw_height: float, orientation: int) -> tuple[float, float]:
    """Turn a point from stored to upright. x goes from 0 to the width, y from 0 to the height."""
    swap, mirror_x, mirror_y = _TURNS[orientation]
    if swap:
        x, y, raw_width, raw_height = y, x, raw_height, raw_width
    return (raw_width - x if mirror_x else x, raw_height - y if mirror_y else y)


def orient_box(
    box: tuple[float, float, float, float], raw_width: float, raw_height: float, orientation: int
) -> tuple[float, float, float, float]:
    """Turn a box (x1, y1, x2, y2) from stored to upright."""
    ax, ay = orient_point(box[0], box[1], raw_width, raw_height, orientation)
    bx, by = orient_point(box[2], box[3], raw_width, raw_height, orientation)
    return min(ax, bx), min(ay, by), max(ax, bx), max(ay, by)


def orient_quad(quad: list[float], raw_width: float, raw_height: float, orientation: int) -> list[float]:
    """Turn a quad from stored to upright. Its corners are reordered to be clockwise from the top left again."""
    points = [orient_point(quad[i], quad[i + 1], raw_width, raw_height, orientation) for i in range(0, len(quad), 2)]
    if orientation in (2, 4, 5, 7) and len(points) == 4:
        points = [points[1], points[0], points[3], points[2]]
    return [value for point in points for value in point]


def orient_rle(counts: str, raw_width: int, raw_height: int, orientation: int) -> str:
    """Turn a mask, as compressed COCO counts, from stored to upright."""
    if not counts or orientation == 1:
        return counts
    from engine.records import masks

    return masks.encode(orient_array(masks.decode(counts, width=raw_width, height=raw_height), orientation))
