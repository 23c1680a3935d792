"""Measures dense captioning (boxes with descriptions) by the average precision of DenseCap (arXiv 1511.07571).

A box is right if it overlaps a human box and its text is similar to the human text. AP is averaged over five thresholds
of overlap and six of similarity. DenseCap measures similarity by METEOR, which needs Java. Here similarity is the F1 of
shared words, with other thresholds, so figures cannot be compared with published ones.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from engine.records.boxes import Box
from model.evaluate.detections import check_known_images
from model.evaluate.matching import box_overlaps
from model.evaluate.ranked import Ranked
from model.evaluate.resampling import Floats, Ints, resampled_ratios
from model.evaluate.tokens import tokens

OVERLAPS = (0.3, 0.4, 0.5, 0.6, 0.7)  # IoU must be at least this
LIKENESSES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)  # similarity must be above this
SAME_REGION = 0.7  # human boxes with at least this IoU are one region that was described several times


@dataclass(frozen=True, slots=True)
class Described:
    """A box and its description. The score of a human box is not used."""

    box: Box
    text: str
    score: float = 1.0


@dataclass(frozen=True, slots=True)
class DenseMeasure:
    """The figures of dense captioning. `regions`: number of human regions; several human boxes on one region count
    once.
    """

    figures: dict[
        str, float
    ]  # mAP; place: AP of boxes alone; words: mean similarity of boxes with an IoU of .5 or more
    regions: int
    predictions: int
    ranked: Ranked  # a row for each of the 30 pairs of thresholds, then for each of the 5 overlaps alone
    likeness: Floats  # for each image: summed similarity of its boxes with an IoU of .5 or more
    placed: Ints  # for each image: the number of these boxes

    def resampled(self, counts: Ints) -> dict[str, Floats]:
        """Each figure for each resample of images (a row of `counts`)."""
        precision = self.ranked.average_precision(counts)
        pairs = len(OVERLAPS) * len(LIKENESSES)
        return {
            "mAP": precision[:, :pairs].mean(axis=1),
            "place": precision[:, pairs:].mean(axis=1),
            "words": resampled_ratios(self.likeness, self.placed, counts),
        }


def measure_dense(truth: Mapping[str, Sequence[Described]], found: Mapping[str, Sequence[Described]]) -> DenseMeasure:
    """Measures predicted boxes with descriptions (`found`) against human ones (`truth`). Both are {image: boxes}."""
    check_known_images(truth, found)
    names = sorted(truth)
    regions = [same_regions(truth[name]) for name in names]
    assigned = [_assigned(things, found.get(name, ())) for name, things in zip(names, regions, strict=True)]
    score, overlap, likeness = np.concatenate([np.zeros((0, 3)), *assigned]).T
    image = np.repeat(np.arange(len(names)), [len(rows) for rows in assigned])
    order = np.argsort(-score, kind="stable")
    right = [(overlap >= least) & (likeness > like) for least in OVERLAPS for like in LIKENESSES]
    right += [overlap >= least for least in OVERLAPS]
    at_half = overlap >= 0.5
    stacked = np.array(right)[:, order]
    positives = np.array([len(things) for things in regions], np.int64)
    measure = DenseMeasure(
        figures={},
        regions=int(positives.sum()),
        predictions=len(score),
        ranked=Ranked(image[order], stacked, np.ones_like(stacked), positives),
        likeness=np.bincount(image[at_half], likeness[at_half], minlength=len(names)).astype(np.float64),
        placed=np.bincount(image[at_half], minlength=len(names)),
    )
    once = np.ones((1, len(names)), np.int64)
    measure.figures.update({name: float(values[0]) for name, values in measure.resampled(once).items()})
    return measure


def token_f1(text: str, other: str) -> float:
    """The F1 of shared words: twice the number of shared words, divided by the number of words in both texts."""
    one, two = Counter(tokens(text)), Counter(tokens(other))
    return 2 * (one & two).total() / max(1, one.total() + two.total())


def same_regions(things: Sequence[Described]) -> list[tuple[Box, list[str]]]:
    """Merges boxes on the same region into their mean box with all their texts. The box with the most overlapping boxes
    is merged first.
    """
    boxes = [thing.box for thing in things]
    same = box_overlaps(boxes, boxes) >= SAME_REGION
    left = np.ones(len(things), np.bool_)
    answer = []
    while left.any():
        first = int(np.argmax((same & left).sum(axis=1) * left))
        group = np.flatnonzero(same[first] & left).tolist()
        x1, y1, x2, y2 = np.mean([boxes[row] for row in group], axis=0).tolist()
        answer.append(((x1, y1, x2, y2), [things[row].text for row in group]))
        left[group] = False
    return answer


def _assigned(things: Sequence[tuple[Box, list[str]]], found: Sequence[Described]) -> Floats:
    """(score, overlap, similarity) of each box, compared with the region it overlaps most. Overlap and similarity are 0
    if a box with a higher score already has that region.
    """
    rows = np.zeros((len(found), 3))
    rows[:, 0] = [one.score for one in found]
    overlaps = box_overlaps([one.box for one in found], [box for box, _ in things])
    taken: set[int] = set()
    for row in np.argsort(-rows[:, 0], kind="stable").tolist():
        best = int(np.argmax(overlaps[row])) if things else -1
        if best >= 0 and overlaps[row, best] > 0 and best not in taken:
            taken.add(best)
            rows[row, 1:] = overlaps[row, best], max(token_f1(found[row].text, text) for text in things[best][1])
    return rows
