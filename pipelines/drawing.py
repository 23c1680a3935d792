"""What the contact sheets are drawn with: text that fits, outlines, one colour a label. Pixels of the sheet."""

from __future__ import annotations

import colorsys
import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL import ImageDraw

Point = tuple[float, float]
Colour = tuple[int, int, int]

GAP, LINE = 14, 17  # between tiles; from one line of text to the next
PAPER, INK, FAINT, RED = (255, 255, 255), (30, 30, 30), (110, 110, 110), (205, 30, 30)
_FONT = 13


def outline(pen: ImageDraw.ImageDraw, corners: Sequence[Point], colour: Colour, *, width: int, dashed: bool) -> None:
    for first, second in zip(corners, [*corners[1:], corners[0]], strict=True):
        for start, end in _dashes(first, second) if dashed else [(first, second)]:
            pen.line((*start, *end), fill=colour, width=width)


def _dashes(first: Point, second: Point, step: float = 6.0) -> list[tuple[Point, Point]]:
    (x1, y1), (x2, y2) = first, second
    pieces = max(1, round(((x2 - x1) ** 2 + (y2 - y1) ** 2) ** 0.5 / step))
    points = [(x1 + (x2 - x1) * n / pieces, y1 + (y2 - y1) * n / pieces) for n in range(pieces + 1)]
    return [(points[n], points[n + 1]) for n in range(0, pieces, 2)]


def colour_of(label: str) -> Colour:
    """One colour a label, from yellow green to violet: red means dropped."""
    number = int(hashlib.sha256(label.encode()).hexdigest()[:8], 16)
    hue = 0.25 + 0.5 * (number % 97) / 97
    red, green, blue = colorsys.hls_to_rgb(hue, 0.28 + 0.1 * (number // 97 % 2), 0.85)
    return round(red * 255), round(green * 255), round(blue * 255)


def fitted(text: str, width: float) -> str:
    text = " ".join(text.split())[:200]
    if font().getlength(text) <= width:
        return text
    while text and font().getlength(text + "...") > width:
        text = text[:-1]
    return text + "..."


def font() -> Any:
    from PIL import ImageFont

    if not _FONTS:
        _FONTS.append(ImageFont.load_default(_FONT))
    return _FONTS[0]


_FONTS: list[Any] = []  # loading it takes longer than a tile
