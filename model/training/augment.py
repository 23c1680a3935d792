"""Randomly flips, scales and shifts training images, and the boxes of their targets with them.

Only pairs with boxes as target and a fixed prompt are augmented. A caption may say "on the left", and a prompt may
contain locations. The change depends only on the seed and on the pair's position in the schedule.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from engine.records.boxes import Box, area
from model.florence2_tasks import task_of
from model.network.florence import MEAN, Pixels
from model.pairs.locations import BINS, LOCATIONS
from model.pairs.parsing import lex
from model.training.options import AugmentOptions
from model.training.sampling import key_of

_VISIBLE = 0.25  # a box is dropped if less than this share of its area stays in the image
_FILL = tuple(round(255 * value) for value in MEAN)
Entry = tuple[str, Box]  # label; x1, y1, x2, y2 as shares of the image's sides


class Augment(AugmentOptions):
    """Augments images with their targets."""

    seed: int = 0

    def __bool__(self) -> bool:
        return self.flip or self.scale > 0 or self.shift > 0

    def __call__(self, image: Pixels, pair: dict[str, Any], position: int) -> tuple[Pixels, str]:
        """The augmented image (size x size x 3) and target. Both are unchanged for pairs that are not augmented.
        `position`: the pair's position in the schedule.
        """
        task = task_of(pair["task"])
        if task.form not in ("boxes", "labelled_boxes") or task.input:
            return image, pair["target"]
        random = np.random.default_rng(key_of(self.seed, position, 17))
        flip = self.flip and bool(random.integers(2))
        scale = 1 + self.scale * float(random.uniform(-1, 1))
        dx, dy = (self.shift * float(value) for value in random.uniform(-1, 1, 2))
        moved = (_moved(entry, flip, scale, dx, dy) for entry in entries(pair["target"]))
        left = [entry for entry in moved if entry is not None]
        return _transformed(image, flip, scale, dx, dy), _target(left, task.form, self.order)


def entries(target: str) -> list[Entry]:
    """(label, box) of each region of a target. The target must be valid: labels, each followed by locations in groups
    of four.
    """
    found: list[Entry] = []
    label, numbers = "", list[float]()
    for lexeme in lex(target):
        if lexeme.kind == "text":
            label = lexeme.text
        else:
            numbers.append((lexeme.bin + 0.5) / BINS)
            if len(numbers) == 4:
                found.append((label, (numbers[0], numbers[1], numbers[2], numbers[3])))
                numbers = []
    return found


def _moved(entry: Entry, flip: bool, scale: float, dx: float, dy: float) -> Entry | None:
    label, (x1, y1, x2, y2) = entry
    if flip:
        x1, x2 = 1 - x2, 1 - x1
    xs = [0.5 + dx + scale * (x - 0.5) for x in (x1, x2)]
    ys = [0.5 + dy + scale * (y - 0.5) for y in (y1, y2)]
    whole = (xs[1] - xs[0]) * (ys[1] - ys[0])
    left, right = (min(max(x, 0.0), 1.0) for x in xs)
    top, bottom = (min(max(y, 0.0), 1.0) for y in ys)
    if (right - left) * (bottom - top) < _VISIBLE * whole or right <= left or bottom <= top:
        return None
    return label, (left, top, right, bottom)


def _target(found: list[Entry], form: str, order: str) -> str:
    if order == "reading" and form == "labelled_boxes":
        found = sorted(found, key=lambda entry: (entry[1][0] + entry[1][2], entry[1][1] + entry[1][3]))
        return "".join(label + _locations(box) for label, box in found)
    found = sorted(found, key=lambda entry: (-area(entry[1]), entry[1][1], entry[1][0]))
    groups: dict[str, list[str]] = {}
    for label, box in found:
        groups.setdefault(label, []).append(_locations(box))
    return "".join(label + "".join(boxes) for label, boxes in groups.items())


def _locations(box: Box) -> str:
    return "".join(LOCATIONS[min(int(value * BINS), BINS - 1)] for value in box)


def _transformed(image: Pixels, flip: bool, scale: float, dx: float, dy: float) -> Pixels:
    """The image after the change. Areas that come into view get the mean colour."""
    from PIL import Image

    size = image.shape[0]
    ratio = 1 / scale
    across = (
        (-ratio, 0.5 * size + ratio * size * (0.5 + dx)) if flip else (ratio, 0.5 * size - ratio * size * (0.5 + dx))
    )
    down = 0.5 * size - ratio * size * (0.5 + dy)
    picture = Image.fromarray(image).transform(
        (size, size),
        Image.Transform.AFFINE,
        (across[0], 0.0, across[1], 0.0, ratio, down),
        resample=Image.Resampling.BILINEAR,
        fillcolor=_FILL,
    )
    return np.asarray(picture)
