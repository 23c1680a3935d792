"""A record that supports every task: a car with two wheels and a sign, with captions, masks, phrases and texts."""

from __future__ import annotations

import numpy as np

from engine.records import masks
from tests.builders import Row, phrase, region, region_text, row, text

WIDTH, HEIGHT = 640, 480
CAPTION = "A green car with two wheels."
LONGER = "A green car stands by a wall. A sign says café."


def mask(*boxes: tuple[int, int, int, int]) -> str:
    """The run-lengths of a mask of rectangles."""
    drawn = np.zeros((HEIGHT, WIDTH), np.uint8)
    for x1, y1, x2, y2 in boxes:
        drawn[y1:y2, x1:x2] = 1
    return masks.encode(drawn)


def pictured() -> Row:
    car, left, right, sign, name = (f"m/{n}" for n in range(5))
    regions = [
        region((400, 250, 480, 330), label="wheel", id=right, rle=mask((400, 250, 480, 330))),
        region((100, 250, 190, 340), label="wheel", id=left, rle=mask((100, 250, 190, 340))),
        region((80, 100, 560, 330), label="car", id=car, rle=mask((80, 200, 560, 330), (200, 100, 400, 180))),
        region((300, 10, 420, 60), kind="text", label="", id=sign, quad=[300, 12, 418, 10, 420, 58, 302, 60]),
        region((20, 10, 100, 50), kind="text", label="", id=name),
    ]
    region_texts = [
        region_text(car, "a green car", id="m/20"),
        region_text(left, "its front wheel", id="m/21"),
        region_text(sign, "café 24 h", granularity="ocr", id="m/22"),
        region_text(name, "OPEN", granularity="ocr", id="m/23"),
    ]
    texts = [
        text(CAPTION, "brief", id="m/10"),
        text(LONGER, "detailed", id="m/11"),
        text(f"{LONGER}\nIt is day.", "more_detailed", id="m/12"),
    ]
    phrases = [
        phrase("m/10", 17, 27, [right, left], id="m/31"),
        phrase("m/10", 0, 11, [car], id="m/30"),
        phrase("m/11", 30, 36, [sign], id="m/32"),
    ]
    return row("0" * 32, regions=regions, region_texts=region_texts, texts=texts, phrases=phrases)
