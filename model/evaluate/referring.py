"""Referring segmentation: the mask that was given for an expression beside the one people drew.

mIoU is the mean of the expressions' intersections over unions. oIoU is all intersections over all unions, in pixels, so
large things decide it. An expression that got no mask counts as an empty one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from engine.records import masks
from model.evaluate.resampling import Floats, Ints, of_totals


@dataclass(frozen=True, slots=True)
class Referred:
    """One expression. Masks are run-lengths of an image of this size; what was found in several is their union.

    `image`: the row of its image among those measured.
    """

    image: int
    found: Sequence[str]
    truth: str
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class ReferringMeasure:
    """`both` and `either`: pixels of each expression that lie in both masks, and in at least one."""

    figures: dict[str, float]  # mIoU, oIoU, P@0.5: the share of expressions with an IoU of .5 at least
    expressions: int
    answered: int
    image: Ints
    both: Ints
    either: Ints

    def resampled(self, counts: Ints) -> dict[str, Floats]:
        """Each figure for each resample of images."""
        images, iou = counts.shape[1], _iou(self.both, self.either)

        def by_image(values: Floats | Ints) -> Floats:
            return np.bincount(self.image, values, minlength=images).astype(np.float64)

        expressions = by_image(np.ones(len(iou)))
        return {
            "mIoU": of_totals(by_image(iou), expressions, counts),
            "oIoU": of_totals(by_image(self.both), by_image(self.either), counts),
            "P@0.5": of_totals(by_image((iou >= 0.5).astype(np.float64)), expressions, counts),
        }


def measure_referring(expressions: Sequence[Referred]) -> ReferringMeasure:
    pixels = np.array([_pixels(one) for one in expressions], np.int64).reshape(-1, 2)
    image = np.array([one.image for one in expressions], np.int64)
    answered = sum(bool(one.found) for one in expressions)
    measure = ReferringMeasure({}, len(expressions), answered, image, pixels[:, 0], pixels[:, 1])
    once = np.ones((1, int(image.max(initial=-1)) + 1), np.int64)
    measure.figures.update({name: float(values[0]) for name, values in measure.resampled(once).items()})
    return measure


def _pixels(one: Referred) -> tuple[int, int]:
    found = masks.union(one.found, width=one.width, height=one.height)
    return masks.overlap(found, one.truth, width=one.width, height=one.height)


def _iou(both: Ints, either: Ints) -> Floats:
    """Two empty masks do not agree on anything: 0."""
    return both / np.maximum(either, 1)
