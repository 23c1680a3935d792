"""Single boxes: corners in float pixels of the upright image, x1 < x2 to the right, y1 < y2 downwards.

To compare all boxes of a shard, use engine.records.overlaps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Box = tuple[float, float, float, float]  # x1, y1, x2, y2


class HasBox(Protocol):
    """A region, or any other object with the attributes x1, y1, x2 and y2."""

    x1: float
    y1: float
    x2: float
    y2: float


def box_of(region: HasBox) -> Box:
    return (region.x1, region.y1, region.x2, region.y2)


def row_box(row: Mapping[str, Any]) -> Box:
    """The box in a row of a record table or of a view."""
    return (row["x1"], row["y1"], row["x2"], row["y2"])


def corners_of(box: Box) -> list[float]:
    """The corners of a box as a quad: x, y, x, y, ... clockwise from the top left."""
    x1, y1, x2, y2 = box
    return [x1, y1, x2, y1, x2, y2, x1, y2]


def around(points: Sequence[float]) -> Box:
    """The smallest box that contains a quad or polygon, given as x, y, x, y, ..."""
    xs, ys = points[::2], points[1::2]
    return (min(xs), min(ys), max(xs), max(ys))


def area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def shared_area(one: Box, other: Box) -> float:
    """The area of the intersection of two boxes; 0 if they do not overlap."""
    across, down = min(one[2], other[2]) - max(one[0], other[0]), min(one[3], other[3]) - max(one[1], other[1])
    return across * down if across > 0 and down > 0 else 0.0


def iou(one: Box, other: Box) -> float:
    """Intersection over union. Returns 0 if the boxes do not overlap or have no area."""
    shared = shared_area(one, other)
    return shared / (area(one) + area(other) - shared) if shared else 0.0


def share_inside(one: Box, other: Box) -> float:
    """The share of the area of `one` that is inside `other`, from 0 to 1."""
    return shared_area(one, other) / max(area(one), 1e-9)


def clipped(box: Box, width: float, height: float) -> Box:
    """The part of the box that is inside the image. If there is none, the result has x1 >= x2 or y1 >= y2."""
    return (max(box[0], 0.0), max(box[1], 0.0), min(box[2], width), min(box[3], height))


def clipped_boxes(boxes: npt.NDArray[Any], width: float, height: float) -> npt.NDArray[Any]:
    """Clip all boxes of an n x 4 array to the image. A box outside the image becomes a box without area."""
    inside: npt.NDArray[Any] = np.clip(boxes, 0, np.array([width, height, width, height], boxes.dtype))
    return inside
