"""The frame in which a trainer opens an image, and the units in which a chat model reads and writes boxes.

ms-swift and LLaMA-Factory open images with Pillow and do not turn them by their EXIF orientation. So boxes of a rotated
photo are in the `stored` frame here, unlike in the records (docs/decisions/016-upright-and-stored-frames.md).
"""

from __future__ import annotations

import math
from typing import NamedTuple

from engine.images.decode import probe
from engine.images.orientation import orient_box
from engine.records.boxes import Box
from pipelines.emit.objects import DECIMALS

FACTOR = 28  # Qwen2.5-VL resizes images to multiples of this number of pixels
THOUSAND = 1000
MAX_RATIO = 200  # Qwen's processors refuse an image with a side that is more than so many times the other one

_BACK = {6: 8, 8: 6}  # the orientation that undoes an orientation; the others undo themselves


class Frame(NamedTuple):
    """The size of an image as Pillow opens it, and the EXIF orientation that is not applied."""

    width: int
    height: int
    orientation: int = 1

    def turned(self, box: Box) -> Box:
        """A box of the upright image, in this frame."""
        if self.orientation == 1:
            return box
        upright = (self.height, self.width) if self.orientation >= 5 else (self.width, self.height)
        x1, y1, x2, y2 = orient_box(box, *upright, _BACK.get(self.orientation, self.orientation))
        return (round(x1, DECIMALS), round(y1, DECIMALS), round(x2, DECIMALS), round(y2, DECIMALS))

    @property
    def ratio(self) -> float:
        """The long side divided by the short side."""
        return max(self.width, self.height) / min(self.width, self.height)


def opened_frame(data: bytes) -> Frame:
    """The frame of an image file. Pillow itself turns TIFF upright, and no other format."""
    header = probe(data)
    if header.format == "TIFF":
        return Frame(header.width, header.height)
    return Frame(*header.stored_size, header.orientation)


def resized(width: int, height: int, min_pixels: int, max_pixels: int) -> tuple[int, int]:
    """The size to which Qwen2.5-VL resizes an image: multiples of 28 with the number of pixels in the given range.

    It gives the same sizes as `smart_resize` in transformers, for every image that this does not refuse.
    """
    high, wide = round(height / FACTOR) * FACTOR, round(width / FACTOR) * FACTOR
    if high * wide > max_pixels:
        shrink = math.sqrt(height * width / max_pixels)
        high = max(FACTOR, math.floor(height / shrink / FACTOR) * FACTOR)
        wide = max(FACTOR, math.floor(width / shrink / FACTOR) * FACTOR)
    elif high * wide < min_pixels:
        grow = math.sqrt(min_pixels / (height * width))
        high, wide = math.ceil(height * grow / FACTOR) * FACTOR, math.ceil(width * grow / FACTOR) * FACTOR
    return wide, high


def in_units(box: Box, frame: Frame, across: int, down: int) -> list[int]:
    """A box in whole units: `across` of them make the width of the image, and `down` the height.

    Coordinates are rounded to the nearest unit. A box that would have no area becomes the unit that its middle is in.
    """
    x1, x2 = _span(box[0], box[2], frame.width, across)
    y1, y2 = _span(box[1], box[3], frame.height, down)
    return [x1, y1, x2, y2]


def _span(start: float, end: float, side: int, units: int) -> tuple[int, int]:
    first, last = round(start / side * units), round(end / side * units)
    if first < last:
        return first, last
    middle = math.floor((start + end) / 2 / side * units)
    first = min(middle, units - 1)
    return first, first + 1
