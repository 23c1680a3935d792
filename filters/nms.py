"""Drops duplicate boxes by greedy non-maximum suppression, first within each class and then across classes.

The value of a verdict is the IoU with the better box that was kept. A human box ranks above all other boxes and is
never suppressed. Scores of several producers should be on one scale, as they are after a consensus.
"""

from __future__ import annotations

import numpy as np

from engine.config.ranges import Share
from engine.records.columns import Regions
from engine.records.overlaps import iou_pairs, suppressors
from engine.records.shard import Bools, Floats, Ints
from filters.judging.bounds import Kinds
from filters.verdict import Verdict


def nms(regions: Regions, *, within: Share = 0.5, across: Share = 0.8, kinds: Kinds = ("object",)) -> list[Verdict]:
    """Drop boxes that overlap a better box too much. First, a box is dropped if its IoU with a better box of the same
    label is at least `within`. Of the remaining boxes, a box is dropped if its IoU with a better box of any label is at
    least `across`. `kinds`: the kinds of regions that are compared.
    """
    judged = np.flatnonzero(np.logical_or.reduce([regions.equals("kind", kind) for kind in kinds]))
    image, score = regions.image[judged], regions.score[judged]
    label = regions.codes("label")[0][judged]
    i, j, iou = iou_pairs(image, regions.boxes[judged], min_iou=min(within, across))
    near = (label[i] == label[j]) & (iou >= within)
    first = suppressors(i[near], j[near], score) if near.any() else np.full(len(judged), -1)
    left = first < 0
    far = (iou >= across) & left[i] & left[j]
    second = suppressors(i[far], j[far], score)
    return [
        _verdict(len(regions), judged, first, iou[near], "nms.within", within),
        _verdict(len(regions), judged, second, iou[far], "nms.across", across),
    ]


def _verdict(n: int, judged: Ints, by: Ints, iou: Floats, rule: str, threshold: float) -> Verdict:
    keep: Bools = np.ones(n, np.bool_)
    value = np.full(n, np.nan)
    lost = np.flatnonzero(by >= 0)
    keep[judged[lost]] = False
    value[judged[lost]] = iou[by[lost]]
    return Verdict(keep, rule, value, threshold)
