"""Measures phrase grounding by the any-box protocol of Flickr30k Entities.

A phrase is found if one of its first k boxes overlaps ANY of its true boxes with an IoU of 0.5 or more. Figures of the
merged-boxes protocol are not comparable: it compares with one box around all true boxes. If each phrase has one true
box, recall@1 is the accuracy@0.5 of referring expression comprehension.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from engine.records.boxes import Box
from model.evaluate.matching import box_overlaps
from model.evaluate.resampling import Floats, Ints, resampled_ratios


@dataclass(frozen=True, slots=True)
class GroundedPhrase:
    """A phrase with its predicted boxes (`found`, best first) and its true boxes. A phrase without true boxes does not
    count. `image`: row of its image.
    """

    image: int
    found: Sequence[Box]
    truth: Sequence[Box]


@dataclass(frozen=True, slots=True)
class GroundingMeasure:
    """The figures of grounding. `mean_iou`: the mean IoU of each phrase's first box with the true box it overlaps most;
    0 for a phrase without predicted boxes.
    """

    figures: dict[str, float]  # recall@1, recall@5, mean_iou
    phrases: int
    answered: int
    hits: dict[str, Floats]  # {figure: its value for each phrase}
    image: Ints

    def resampled(self, counts: Ints) -> dict[str, Floats]:
        """Each figure for each resample of images (a row of `counts`)."""
        images = counts.shape[1]
        phrases = np.bincount(self.image, minlength=images)
        return {
            name: resampled_ratios(np.bincount(self.image, values, minlength=images), phrases, counts)
            for name, values in self.hits.items()
        }


def measure_grounding(phrases: Sequence[GroundedPhrase], *, iou: float = 0.5) -> GroundingMeasure:
    counted = [phrase for phrase in phrases if len(phrase.truth)]
    best = [box_overlaps(phrase.found, phrase.truth).max(axis=1, initial=0.0) for phrase in counted]
    first = np.array([overlaps[0] if len(overlaps) else 0.0 for overlaps in best], np.float64)
    top5 = np.array([overlaps[:5].max(initial=0.0) for overlaps in best], np.float64)
    hits = {
        "recall@1": (first >= iou).astype(np.float64),
        "recall@5": (top5 >= iou).astype(np.float64),
        "mean_iou": first,
    }
    return GroundingMeasure(
        figures={name: float(values.mean()) if len(counted) else float("nan") for name, values in hits.items()},
        phrases=len(counted),
        answered=sum(bool(len(phrase.found)) for phrase in counted),
        hits=hits,
        image=np.array([phrase.image for phrase in counted], np.int64),
    )
