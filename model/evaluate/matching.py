"""Decides which detections are right, by COCO's greedy matching, for all images, labels and thresholds at once.

In each image, the box with the highest score comes first. Each box is matched to the object of its label that it
overlaps most, among those that are still unmatched and have an IoU of at least the threshold; of equal overlaps the
last object wins. Crowds, and objects outside of a range of sizes, come after all others: a box that is matched to one
is `ignored`, which is neither right nor wrong. Any number of boxes can be matched to a crowd.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from model.evaluate.detections import Detection, Detections, Found, Truth, TruthImage, as_columns, check_known_images
from model.evaluate.groups import Groups, Labels, found_boxes, true_boxes
from model.evaluate.resampling import Bools, Floats, Ints

_CHUNK = 1 << 20  # pairs of a box and an object compared at once: about 100 MB
_ALMOST_1 = 1 - 1e-10  # COCO's highest threshold

Overlap = Callable[[Ints, Ints], Floats]  # rows of found boxes, rows of true boxes: the IoU of each pair
Pairs = tuple[Ints, Ints, Floats]  # rows of found boxes, rows of true boxes, IoU


@dataclass(frozen=True, slots=True)
class Matches:
    """right, ignored: ranges of sizes x thresholds x found boxes."""

    right: Bools
    ignored: Bools


def match(
    found: Groups, true: Groups, overlap: Overlap, *, thresholds: Floats, sizes: Sequence[tuple[float, float]]
) -> Matches:
    """Matches the boxes of each group. sizes: ranges of areas in pixels, with both ends."""
    least = np.minimum(thresholds, _ALMOST_1)
    rounds = list(_rounds(_pairs(found, true, overlap, float(least.min())), found.group))
    right, ignored = np.zeros((2, len(sizes), len(thresholds), len(found)), np.bool_)
    for k, (low, high) in enumerate(sizes):
        aside = true.crowd | (true.area < low) | (true.area > high)
        right[k], ignored[k] = _greedy(rounds, aside, true.crowd, least, len(found))
        ignored[k] |= ~right[k] & ((found.area < low) | (found.area > high))
    return Matches(right, ignored)


def _greedy(rounds: Sequence[Pairs], aside: Bools, crowd: Bools, least: Floats, count: int) -> tuple[Bools, Bools]:
    """(right, ignored), thresholds x found boxes. aside: the true boxes that do not count."""
    hit, hit_aside = np.zeros((2, len(least), count), np.bool_)
    free = np.ones((len(least), len(crowd)), np.bool_)
    for a, b, iou in rounds:
        starts = np.flatnonzero(np.append(True, a[1:] != a[:-1]))
        open_ = (free[:, b] | crowd[b]) & (iou >= least[:, None])
        # The pairs of a box are sorted by IoU, so its best pair is the last open one. Objects that count go first.
        order = np.arange(len(a), dtype=np.int32) + np.where(aside[b], 0, len(a)).astype(np.int32)
        best = np.maximum.reduceat(np.where(open_, order, np.int32(-1)), starts, axis=1)
        threshold, box = np.nonzero(best >= 0)
        thing, box = b[best[threshold, box] % len(a)], a[starts][box]
        hit[threshold, box] = True
        hit_aside[threshold, box] = aside[thing]
        free[threshold, thing] = False
    return hit & ~hit_aside, hit_aside


def _pairs(found: Groups, true: Groups, overlap: Overlap, least: float) -> Pairs:
    """All pairs in the same group with at least this IoU. They are in the order of the found boxes, and then of IoU."""
    first = np.searchsorted(true.group, found.group)
    partners = np.searchsorted(true.group, found.group, side="right") - first
    done = np.cumsum(partners)
    parts: list[Pairs] = [(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))]
    start = 0
    while start < len(found):
        before = int(done[start - 1]) if start else 0
        stop = max(start + 1, int(np.searchsorted(done, before + _CHUNK, side="right")))
        some = partners[start:stop]
        a = np.repeat(np.arange(start, start + len(some)), some)
        b = np.arange(len(a)) + np.repeat(first[start:stop] - (np.cumsum(some) - some), some)
        iou = overlap(a, b)
        near = np.flatnonzero(iou >= least)
        parts.append((a[near], b[near], iou[near]))
        start = stop
    a, b, iou = (np.concatenate(part) for part in zip(*parts, strict=True))
    order = np.lexsort((b, iou, a))
    return a[order], b[order], iou[order]


def _rounds(pairs: Pairs, group: Ints) -> Iterator[Pairs]:
    """The pairs in rounds, each with the next box of every group: boxes of one round do not compete for an object."""
    a = pairs[0]
    if not len(a):
        return
    boxes, which = np.unique(a, return_inverse=True)
    groups = group[boxes]
    of_pair = (np.arange(len(boxes)) - np.searchsorted(groups, groups))[which]
    order = np.argsort(of_pair, kind="stable")
    cuts = np.cumsum(np.bincount(of_pair))[:-1]
    yield from zip(*(np.split(column[order], cuts) for column in pairs), strict=True)


def box_iou(found: Groups, true: Groups) -> Overlap:
    """IoU as pycocotools computes it, to the last bit. For a crowd: the share of the found box that lies in it."""
    x, y, w, h = found.size.T
    tx, ty, tw, th = true.size.T
    right, bottom, area = x + w, y + h, w * h
    true_right, true_bottom, true_area = tx + tw, ty + th, tw * th

    def overlap(a: Ints, b: Ints) -> Floats:
        across = np.minimum(right[a], true_right[b]) - np.maximum(x[a], tx[b])
        down = np.minimum(bottom[a], true_bottom[b]) - np.maximum(y[a], ty[b])
        both = np.maximum(across, 0) * np.maximum(down, 0)
        either = np.where(true.crowd[b], area[a], area[a] + true_area[b] - both)
        with np.errstate(invalid="ignore", divide="ignore"):
            iou: Floats = np.where(both > 0, both / either, 0.0)
        return iou

    return overlap


# --- one threshold, objects of all sizes ---------------------------------------------------------


def scored(truth: Mapping[str, TruthImage], found: Found, *, iou: float = 0.5) -> tuple[Floats, Bools, Ints]:
    """(scores, right, image) of all detections that are not ignored. `image`: the row of the detection's image, sorted
    by name.
    """
    some = as_columns(found)
    check_known_images(truth, some.images)
    some = some.ordered(sorted(truth))
    right, ignored = matched_in_images([truth[name].objects for name in some.images], some, iou)
    counted = np.flatnonzero(~ignored)
    return some.scores[counted], right[counted], some.image[counted]


def matched(truth: Sequence[Truth], found: Sequence[Detection], *, iou: float = 0.5) -> tuple[Bools, Bools]:
    """(right, ignored) for each detection of one image, in the given order."""
    return matched_in_images([truth], as_columns({"": found}), iou)


def matched_in_images(truth: Sequence[Sequence[Truth]], found: Detections, iou: float = 0.5) -> tuple[Bools, Bools]:
    """(right, ignored) for each detection. `truth` has the objects of the images of `found`, in the same order."""
    labels = Labels(thing.label for some in truth for thing in some)
    true, boxes = true_boxes(truth, labels), found_boxes(found, labels)
    matches = match(boxes, true, box_iou(boxes, true), thresholds=np.array([iou]), sizes=[(-np.inf, np.inf)])
    right, ignored = np.zeros((2, len(found)), np.bool_)
    right[boxes.row], ignored[boxes.row] = matches.right[0, 0], matches.ignored[0, 0]
    return right, ignored


# --- overlaps of one image -----------------------------------------------------------------------


def box_overlaps(found: Sequence[Sequence[float]], truth: Sequence[Sequence[float]]) -> Floats:
    """IoU, found x truth."""
    if not len(found) or not len(truth):
        return np.zeros((len(found), len(truth)))
    from pycocotools import mask

    overlaps: Floats = mask.iou(_sizes(found), _sizes(truth), [0] * len(truth))
    return overlaps


def _sizes(boxes: Sequence[Sequence[float]]) -> Floats:
    """Converts boxes to x, y, width, height."""
    edges = np.array(boxes, np.float64).reshape(-1, 4)
    return np.column_stack([edges[:, :2], edges[:, 2:] - edges[:, :2]])
