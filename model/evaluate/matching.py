"""Decides which detections are right, by COCO's greedy matching in each image.

The box with the highest score comes first. Each box is matched to the object of its label that it overlaps most, among
those that are still unmatched and have an IoU of at least `iou`. A box without a match that lies in a crowd is
`ignored`: neither right nor wrong.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from engine.records.labels import plain_label
from model.evaluate.detections import Detection, Truth, TruthImage, check_known_images
from model.evaluate.resampling import Bools, Floats, Ints


def matched(truth: Sequence[Truth], found: Sequence[Detection], *, iou: float = 0.5) -> tuple[Bools, Bools]:
    """(right, ignored) for each detection of one image, in the given order."""
    right, ignored = np.zeros(len(found), np.bool_), np.zeros(len(found), np.bool_)
    objects = _by_label(truth)
    for label, rows in _by_label(found).items():
        if label not in objects:
            continue
        order = sorted(rows, key=lambda row: -found[row].score)
        things = [truth[k] for k in objects[label]]
        overlaps = box_overlaps([found[row].box for row in order], [t.box for t in things], [t.crowd for t in things])
        crowd = np.array([t.crowd for t in things], np.bool_)
        right[order], ignored[order] = _greedy(overlaps, crowd, min(iou, 1 - 1e-10))
    return right, ignored


def _by_label(boxes: Sequence[Any]) -> dict[str, list[int]]:
    rows: dict[str, list[int]] = defaultdict(list)
    for row, box in enumerate(boxes):
        rows[plain_label(box.label)].append(row)
    return rows


def _greedy(overlaps: Floats, crowd: Bools, iou: float) -> tuple[Bools, Bools]:
    right, in_crowd = np.zeros(len(overlaps), np.bool_), (overlaps[:, crowd] >= iou).any(axis=1)
    free = np.where(crowd, -1.0, overlaps)
    for row in np.flatnonzero((free >= iou).any(axis=1)):
        best = int(np.argmax(free[row]))
        if free[row, best] >= iou:
            right[row] = True
            free[:, best] = -1.0
    return right, in_crowd & ~right


def box_overlaps(
    found: Sequence[Sequence[float]], truth: Sequence[Sequence[float]], crowd: Sequence[bool] = ()
) -> Floats:
    """IoU, found x truth. For a true box that is a crowd: the share of the found box that lies in it."""
    if not len(found) or not len(truth):
        return np.zeros((len(found), len(truth)))
    from pycocotools import mask

    flags = [int(flag) for flag in crowd] or [0] * len(truth)
    overlaps: Floats = mask.iou(_sizes(found), _sizes(truth), flags)
    return overlaps


def _sizes(boxes: Sequence[Sequence[float]]) -> Floats:
    """Converts boxes to x, y, width, height."""
    edges = np.array(boxes, np.float64).reshape(-1, 4)
    return np.column_stack([edges[:, :2], edges[:, 2:] - edges[:, :2]])


def scored(
    truth: Mapping[str, TruthImage], found: Mapping[str, Sequence[Detection]], *, iou: float = 0.5
) -> tuple[Floats, Bools, Ints]:
    """(scores, right, image) of all detections that are not ignored. `image`: the row of the detection's image, sorted
    by name.
    """
    check_known_images(truth, found)
    scores: list[float] = []
    right: list[Bools] = [np.zeros(0, np.bool_)]
    image: list[int] = []
    for row, name in enumerate(sorted(truth)):
        some = found.get(name, ())
        hit, ignored = matched(truth[name].objects, some, iou=iou)
        scores += [one.score for one, off in zip(some, ignored.tolist(), strict=True) if not off]
        right.append(hit[~ignored])
        image += [row] * int((~ignored).sum())
    return np.array(scores, np.float64), np.concatenate(right), np.array(image, np.int64)
