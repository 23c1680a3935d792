"""Turns masks into polygons with few corners: the outer outline of each part, largest part first. Holes are filled.

Corners lie on pixel edges (pixel x reaches from x to x + 1). They run clockwise in the displayed image and start at the
corner nearest to the image's top left. Polygons of fifty corners keep an IoU of .99 with COCO's masks. Outlines through
pixel centres lose half a pixel on every side and keep only .87.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from engine.records import masks
from model.pairs.locations import BINS

_SPECK = 0.01  # share of the largest part's area; smaller parts are noise in the mask


def outline(rle: str, *, width: int, height: int, max_points: int = 50) -> list[list[float]]:
    """The parts of a mask, each as x, y, x, y, ... in pixels, with 3 to `max_points` corners; [] for an empty mask."""
    mask = masks.decode(rle, width=width, height=height)
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return []
    top, left = int(rows[0]), int(columns[0])
    crop = mask[top : rows[-1] + 1, left : columns[-1] + 1]
    # In the doubled mask the contour passes through pixel 2x at the left edge of pixel x, and 2x + 1 at its right edge.
    twice = crop.repeat(2, axis=0).repeat(2, axis=1)
    parts = [(np.asarray(part).reshape(-1, 2) + 1) // 2 + (left, top) for part in masks.to_polygons(twice)]
    floor = _SPECK * _area(parts[0])
    parts = [part for part in parts if _area(part) >= floor]
    finest = 0.5 * max(width, height) / BINS  # half a location; finer corners would round to the same locations
    simple = [_simplified(part, finest, max_points) for part in parts]
    return [_from_top_left(part) for part in simple]


def _area(part: npt.NDArray[Any]) -> float:
    import cv2

    return float(cv2.contourArea(part.astype(np.float32)))


def _simplified(part: npt.NDArray[Any], finest: float, max_points: int) -> npt.NDArray[np.float64]:
    """Simplifies by Douglas-Peucker. The tolerance is raised until at most `max_points` corners are left."""
    import cv2

    contour, tolerance = part.astype(np.float32), finest
    corners = cv2.approxPolyDP(contour, tolerance, True)
    while len(corners) > max_points:
        tolerance *= 1.4
        corners = cv2.approxPolyDP(contour, tolerance, True)
    if len(corners) < 3:  # the part is thinner than the tolerance
        corners = cv2.boxPoints(cv2.minAreaRect(contour))
    answer: npt.NDArray[np.float64] = np.asarray(corners, np.float64).reshape(-1, 2)
    return answer


def _from_top_left(corners: npt.NDArray[np.float64]) -> list[float]:
    """The corners in clockwise order, starting with the corner nearest to the image's top left. If two are equally
    near, the upper one comes first.
    """
    import cv2

    if cv2.contourArea(corners.astype(np.float32), oriented=True) < 0:  # y points down, so clockwise is positive
        corners = corners[::-1]
    first = int(np.lexsort((corners[:, 1], corners.sum(axis=1)))[0])
    return [*corners[first:].reshape(-1).tolist(), *corners[:first].reshape(-1).tolist()]
