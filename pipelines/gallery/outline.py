"""The outline of a mask as the path of an SVG, in pixels of the upright image. Draw it with the fill rule `evenodd`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from engine.records.masks import decode

_COARSEST = 64.0  # pixels: no outline is simplified further


def svg_path(rle: str, *, width: int, height: int, longest: int = 1_200) -> str:
    """The outlines and holes of a mask. It is simplified until it has at most `longest` characters.

    The smallest parts are left out if that does not suffice. Raises EngineError if the rle does not fit the size.
    """
    import cv2

    mask = decode(rle, width=width, height=height)
    found, _ = cv2.findContours(np.ascontiguousarray(mask, np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    contours = sorted((contour for contour in found if len(contour) >= 3), key=cv2.contourArea, reverse=True)
    tolerance = max(width, height) / 800
    while True:
        parts = [_part(cv2.approxPolyDP(contour, tolerance, closed=True)) for contour in contours]
        if sum(map(len, parts)) <= longest or tolerance > _COARSEST:
            return _first(parts, longest)
        tolerance *= 1.5


def _part(corners: Any) -> str:
    if len(corners) < 3:
        return ""
    points = corners.reshape(-1, 2).tolist()
    return f"M{' '.join(f'{x},{y}' for x, y in points)}Z"


def _first(parts: Sequence[str], longest: int) -> str:
    """As many parts, the largest first, as have at most `longest` characters together."""
    lengths = np.cumsum([len(part) for part in parts])
    return "".join(part for part, end in zip(parts, lengths, strict=True) if end <= longest)
