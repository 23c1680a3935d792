"""The shape of an object in formats that have masks: its mask, else its quad, else only its box.

A mask counts as none if it is empty, or if it was made for another image size. Corners of a quad that lie outside the
image are moved to its edge.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from engine.errors import EngineError
from engine.records import masks
from engine.records.boxes import area as box_area
from pipelines.emit.objects import DECIMALS, Object


class Shape(NamedTuple):
    """`rle`: compressed counts, '' without a mask. `quad`: x, y, x, y, ... in pixels, empty without a quad.

    `area`: of the mask or the quad, else of the box, in pixels. `fault`: why the mask of the region was left out.
    """

    rle: str
    quad: Sequence[float]
    area: float
    fault: str = ""


def shape_of(found: Object, width: int, height: int) -> Shape:
    rle, fault = found.region["rle"], ""
    if rle:
        try:
            if pixels := masks.area(rle, width=width, height=height):
                return Shape(rle, (), float(pixels))
            fault = "empty_mask"
        except EngineError:
            fault = "mask_of_another_size"
    quad = inner_quad(found.region["quad"], width, height)
    area = abs(signed_area(quad))
    return Shape("", quad, round(area, DECIMALS), fault) if area else Shape("", (), _area(found), fault)


def inner_quad(quad: Sequence[float], width: int, height: int) -> list[float]:
    """The quad with every corner in the image, rounded."""
    limits = (float(width), float(height))
    return [round(min(max(value, 0.0), limits[at % 2]), DECIMALS) + 0.0 for at, value in enumerate(quad)]


def signed_area(polygon: Sequence[float]) -> float:
    """The area of a polygon x, y, x, y, ...; positive if its corners are clockwise in the displayed image."""
    xs, ys = polygon[::2], polygon[1::2]
    next_xs, next_ys = [*xs[1:], *xs[:1]], [*ys[1:], *ys[:1]]
    terms = (x * next_y - next_x * y for x, y, next_x, next_y in zip(xs, ys, next_xs, next_ys, strict=True))
    return sum(terms) / 2


def _area(found: Object) -> float:
    return round(box_area(found.box), DECIMALS)
