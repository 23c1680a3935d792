"""Measures referring expression segmentation: predicted masks against human ones.

mIoU is the mean IoU over expressions. oIoU is the sum of all intersections divided by the sum of all unions, in pixels,
so large objects dominate it. An expression without a predicted mask counts as having an empty one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from engine.records import masks
from model.evaluate.resampling import Floats, Ints, resampled_ratios


@dataclass(frozen=True, slots=True)
class Referred:
    """One expression with its predicted masks, whose union counts, and its true mask. Masks are COCO run-lengths.
    `image`: row of its image.
    """

    image: int
    found: Sequence[str]
    truth: str
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class ReferringMeasure:
    """The figures of referring segmentation. `both`, `either`: for each expression, the pixels in the intersection and
    in the union of predicted and true mask.
    """

    figures: dict[str, float]  # mIoU, oIoU, P@0.5: share of expressions with an IoU of .5 or more
    expressions: int
    answered: int
    image: Ints
    both: Ints
    either: Ints

    def resampled(self, counts: Ints) -> dict[str, Floats]:
        """Each figure for each resample of images (a row of `counts`)."""
        images, iou = counts.shape[1], _iou(self.both, self.either)

        def by_image(values: Floats | Ints) -> Floats:
            return np.bincount(self.image, values, minlength=images).astype(np.float64)

        expressions = by_image(np.ones(len(iou)))
        return {
            "mIoU": resampled_ratios(by_image(iou), expressions, counts),
            "oIoU": resampled_ratios(by_image(self.both), by_image(self.either), counts),
            "P@0.5": resampled_ratios(by_image((iou >= 0.5).astype(np.float64)), expressions, counts),
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
    """The IoU of each expression; 0 if both masks are empty."""
    return both / np.maximum(either, 1)
