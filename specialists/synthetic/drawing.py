"""Draws a scene of the synthetic world: the ground, the objects on it, and printed words."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from engine.records.boxes import Box, iou
from specialists.synthetic.shapes import CLASSES, GROUNDS, THINGS, WORDS

if TYPE_CHECKING:
    from PIL import Image

Random = np.random.Generator
Mask = npt.NDArray[np.bool_]

_SHARPER = 4  # outlines are drawn this many times larger, then reduced


@dataclass(slots=True)
class Thing:
    """A drawn object with its mask, or a printed word, which has no mask."""

    label: str
    box: Box
    mask: Mask | None = None


def draw_ground(random: Random, size: int) -> tuple[Image.Image, str]:
    """A canvas without objects, and the name of its colour. It has dull colours, thin lines and noise, and looks unlike
    any class.
    """
    from PIL import Image, ImageDraw

    name = str(random.choice(list(GROUNDS)))
    coarse = np.clip(random.normal(GROUNDS[name], 11.0, (4, 4, 3)), 60, 190).astype(np.uint8)
    canvas = Image.fromarray(coarse).resize((size, size), Image.Resampling.BICUBIC)
    pen = ImageDraw.Draw(canvas)
    for _ in range(int(random.integers(3, 8))):
        shade = int(random.integers(70, 180))
        ends = [float(value) for value in random.uniform(0, size, 4)]
        pen.line(ends, fill=(shade, shade, shade), width=max(1, size // 96))
    noisy = np.asarray(canvas).astype(np.float32) + random.normal(0, 7.0, (size, size, 3))
    return Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)), name


def draw_objects(random: Random, canvas: Image.Image, *, at_least: int, at_most: int) -> list[Thing]:
    """Draws objects at random places. A place is drawn again if its box has an IoU of .05 or more with an earlier box.
    Where objects still overlap, the later one covers the earlier one.
    """
    wanted, size = int(random.integers(at_least, at_most + 1)), canvas.size[0]
    things: list[Thing] = []
    for _ in range(wanted * 60):
        if len(things) == wanted:
            break
        side = float(random.uniform(0.19, 0.38)) * size
        x, y = (float(value) for value in random.uniform(1, size - side - 1, 2))
        label = str(random.choice(CLASSES))
        if any(iou((x, y, x + side, y + side), thing.box) >= 0.05 for thing in things):
            continue
        mask = _paint(random, canvas, label, x, y, side)
        for thing in things:
            assert thing.mask is not None
            thing.mask &= ~mask
        things.append(Thing(label, (x, y, x + side, y + side), mask))
    for thing in things:
        assert thing.mask is not None
        thing.box = _bounds(thing.mask)
    return things


def _paint(random: Random, canvas: Image.Image, label: str, x: float, y: float, side: float) -> Mask:
    """Draws one object. Returns the pixels that belong to it."""
    from PIL import Image, ImageDraw

    _, colour, draw = THINGS[label]
    size = canvas.size[0]
    stencil = Image.new("L", (math.ceil(side) * _SHARPER, math.ceil(side) * _SHARPER), 0)
    draw(ImageDraw.Draw(stencil), side * _SHARPER - 1)
    alpha = np.zeros((size, size), np.float32)
    left, top = int(x), int(y)
    small = np.asarray(stencil.resize((math.ceil(side), math.ceil(side)), Image.Resampling.BOX), np.float32) / 255
    height, width = (min(small.shape[0], size - top), min(small.shape[1], size - left))
    alpha[top : top + height, left : left + width] = small[:height, :width]
    tint = np.clip(np.array(colour) + random.normal(0, 8.0, 3), 0, 255)
    shaded = tint + random.normal(0, 4.0, (size, size, 1))
    before = np.asarray(canvas).astype(np.float32)
    after = before + (shaded - before) * alpha[:, :, None]
    canvas.paste(Image.fromarray(np.clip(after, 0, 255).astype(np.uint8)))
    return alpha >= 0.5


def draw_words(random: Random, canvas: Image.Image, things: list[Thing], *, at_most: int) -> list[Thing]:
    """Prints words on plates that touch no object. The box of a word is the bounding box of its ink, not that of its
    plate.
    """
    from PIL import Image, ImageDraw, ImageFont

    words: list[Thing] = []
    size = canvas.size[0]
    for _ in range(int(random.integers(0, at_most + 1))):
        text = str(random.choice(WORDS))
        font = ImageFont.load_default(max(12, round(size * float(random.uniform(0.115, 0.15)))))
        x1, y1, x2, y2 = (round(value) for value in font.getbbox(text))
        width, height = x2 - x1 + 6, y2 - y1 + 6
        free = _free_place(random, size, width, height, [thing.box for thing in (*things, *words)])
        if free is None:
            continue
        left, top = free
        dark = bool(random.integers(2))
        ink = Image.new("L", canvas.size, 0)
        ImageDraw.Draw(ink).text((left + 3 - x1, top + 3 - y1), text, fill=255, font=font)
        ImageDraw.Draw(canvas).rectangle(
            (left, top, left + width - 1, top + height - 1), fill=(235,) * 3 if dark else (30,) * 3
        )
        canvas.paste((20,) * 3 if dark else (240,) * 3, mask=ink)
        words.append(Thing(text, _bounds(np.asarray(ink) >= 128)))
    return words


def _free_place(random: Random, size: int, width: int, height: int, taken: list[Box]) -> tuple[int, int] | None:
    """The top left corner of a rectangle that overlaps no box in `taken`; None if 60 attempts find none."""
    if width >= size or height >= size:
        return None
    for _ in range(60):
        left, top = int(random.integers(0, size - width)), int(random.integers(0, size - height))
        if all(left + width <= x1 or x2 <= left or top + height <= y1 or y2 <= top for x1, y1, x2, y2 in taken):
            return left, top
    return None


def _bounds(mask: Mask) -> Box:
    rows, columns = np.nonzero(mask.any(axis=1))[0], np.nonzero(mask.any(axis=0))[0]
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)
