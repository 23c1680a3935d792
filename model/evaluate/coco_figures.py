"""COCO's figures from matches: precision at 101 recalls and recall, for each threshold, label and range of sizes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from model.evaluate.groups import Groups
from model.evaluate.matching import Matches
from model.evaluate.ranked import RECALLS, Ranked
from model.evaluate.resampling import Bools, Floats

THRESHOLDS = np.linspace(0.5, 0.95, 10)
SIZES = ((0.0, 1e10), (0.0, 1024.0), (1024.0, 9216.0), (9216.0, 1e10))  # pixels: all, small, medium, large
MOST = (1, 10, 100)  # the detections of an image and label that count, best first
FIGURES = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl")


@dataclass(frozen=True, slots=True)
class Judged:
    """precision: thresholds x recalls x labels x sizes. recall: thresholds x labels x sizes x MOST. Both are -1 for
    labels without objects of these sizes. ranked: for each label, its detections over all sizes.
    """

    precision: Floats
    recall: Floats
    ranked: Sequence[Ranked]

    def figures(self) -> dict[str, float]:
        """The twelve figures. Sums are in the order of COCOeval, so that they are equal to the last bit."""
        precision, recall = self.precision, self.recall
        at_most_100 = [_mean(recall[:, :, k, 2]) for k in range(4)]
        values = [_mean(some[..., 0]) for some in (precision, precision[:1], precision[5:6])]
        values += [_mean(precision[..., k]) for k in (1, 2, 3)]
        values += [_mean(recall[:, :, 0, 0]), _mean(recall[:, :, 0, 1]), *at_most_100]
        return dict(zip(FIGURES, values, strict=True))

    def ap50(self) -> list[float]:
        """AP50 of each label."""
        return [_mean(self.precision[0, :, k, 0]) for k in range(len(self.ranked))]


def judge_matches(labels: int, found: Groups, true: Groups, matches: Matches) -> Judged:
    """found: no more than the best 100 of each group, with their scores."""
    precision = np.full((len(THRESHOLDS), len(RECALLS), labels, len(SIZES)), -1.0)
    recall = np.full((len(THRESHOLDS), labels, len(SIZES), len(MOST)), -1.0)
    ranked = []
    for label in range(labels):
        mine, things = found.of_label(label), true.of_label(label)
        order = np.argsort(-found.score[mine], kind="stable")
        rank = found.rank[mine][order]
        for size, (low, high) in enumerate(SIZES):
            area = true.area[things]
            positive = ~(true.crowd[things] | (area < low) | (area > high))
            right, ignored = (some[size, :, mine][:, order] for some in (matches.right, matches.ignored))
            if size == 0:
                positives = np.bincount(true.image[things][positive], minlength=true.images)
                ranked.append(Ranked(found.image[mine][order], right, ~ignored, positives))
            if count := int(positive.sum()):
                precision[:, :, label, size] = [_precision(*row, count) for row in zip(right, ~ignored, strict=True)]
                best = [(right & (rank < most)).sum(axis=1) for most in MOST]
                recall[:, label, size] = np.column_stack(best) / count
    return Judged(precision, recall, ranked)


def _precision(right: Bools, counted: Bools, objects: int) -> Floats:
    """Precision at each of RECALLS, at one threshold. `right`, `counted`: of detections, highest score first."""
    hits = np.flatnonzero(right)
    seen = np.cumsum(counted)[hits]
    found = np.arange(1.0, len(hits) + 1)
    precision = found / (seen + np.spacing(1))
    best_from_here = np.maximum.accumulate(precision[::-1])[::-1]
    # Recall rises only at right detections, so the curve needs no other points. It is 0 where it does not reach.
    return np.append(best_from_here, 0.0)[np.searchsorted(found / objects, RECALLS)]


def _mean(values: Floats) -> float:
    known = values[values > -1]
    return float(np.mean(known)) if len(known) else float("nan")
