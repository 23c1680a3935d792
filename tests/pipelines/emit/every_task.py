"""Images whose records support every task of Florence-2, and those that are hard on coordinates.

The images are tiny, except for one of 4,000 pixels width.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from engine.records import masks
from tests.builders import phrase, region, region_text, text
from tests.pipelines.emit.small_release import Item, annotated

WIDE = 4000


def noise(width: int, height: int, image_format: str = "PNG", seed: int = 0) -> bytes:
    """An image of random pixels, because images of one colour have the same pixels after any resizing."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, image_format)
    return file.getvalue()


def every_task(data: bytes, width: int, height: int) -> Item:
    """An image whose record supports every task: two objects, one with a mask, and a printed word."""
    caption, ball, mat = "a red ball on a mat", "people/b", "people/m"
    regions = [
        region((8, 6, 30, 28), label="ball", id=ball, rle=_box_mask(width, height, (8, 6, 30, 28))),
        region((0, 24, width, height), label="mat", id=mat),
        region((40, 2, 60, 12), label="", kind="text", id="people/w", quad=[40, 2, 60, 3, 60, 12, 40, 11]),
    ]
    return annotated(
        data,
        texts=[
            text(caption, "brief", id="people/t0"),
            text("A red ball lies on a mat.", "detailed", id="people/t1"),
            text("A red ball lies on a mat. Behind it is a sign.", "more_detailed", id="people/t2"),
        ],
        regions=regions,
        region_texts=[
            region_text(ball, "a shiny red ball", id="people/d"),
            region_text("people/w", "STOP", granularity="ocr", id="people/o"),
        ],
        phrases=[
            phrase("people/t0", 0, 10, [ball], id="people/p0"),
            phrase("people/t0", 14, 19, [mat], id="people/p1"),
        ],
    )


def boxes_of(data: bytes, *boxes: Sequence[float], label: str = "thing") -> Item:
    return annotated(data, regions=[region(box, label=label, id=f"people/{n}") for n, box in enumerate(boxes)])


def shards() -> list[list[Item]]:
    """Two shards. Among the images: one without annotations, a box up to the border, a box of one pixel, an image of
    4,000 pixels, labels in other scripts, and a caption that begins with a space.
    """
    first = [
        annotated(noise(20, 20, "JPEG", 1)),
        every_task(noise(64, 48), 64, 48),
        boxes_of(noise(30, 20, "WEBP", 2), (29, 19, 30, 20), (0, 0, 30, 20), (12, 7, 13, 8)),
    ]
    spaced = [text(" a cat", "brief", id="people/t")]
    second = [
        boxes_of(noise(WIDE, 16, seed=3), (3999, 0, 4000, 1), (1234.5, 3, 1300, 9), (0, 0, 4000, 16)),
        annotated(
            noise(33, 21, seed=4),
            texts=spaced,
            regions=[region((1, 1, 20, 20), label="Kätzchen 猫", id="people/r")],
            phrases=[phrase("people/t", 1, 6, ["people/r"], id="people/p")],
        ),
    ]
    return [first, second]


def _box_mask(width: int, height: int, box: Sequence[int]) -> str:
    x1, y1, x2, y2 = box
    mask: Any = np.zeros((height, width), np.uint8)
    mask[y1:y2, x1:x2] = 1
    return masks.encode(mask)
