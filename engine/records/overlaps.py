"""Overlapping boxes of a whole shard, for NMS, consensus and merges.

Pairs are row numbers i < j, each pair once. Only boxes with the same `image` are compared. To compare boxes only
within a class, pass a different number for each combination of image and class.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from engine.errors import ConfigError

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

CHUNK = 1 << 19  # candidate pairs compared at a time: about 40 MB, however large the shard is


def iou_pairs(
    image: npt.NDArray[Any], boxes: npt.NDArray[Any], *, min_iou: float, chunk: int = CHUNK
) -> tuple[Ints, Ints, Floats]:
    """All pairs (i, j, IoU) of the same image with IoU >= min_iou, ordered by i, then j.

    `image`: an integer for each box, in any order (sorted is fastest). `boxes`: n x 4, x1 y1 x2 y2, any
    float type; IoU is computed in float64. A box with a NaN or without area has no pairs.
    """
    if not min_iou > 0:
        raise ConfigError(f"IoU threshold is {min_iou}; pairs need one above 0, e.g. 0.5.")
    image = np.asarray(image)
    boxes = np.asarray(boxes).reshape(-1, 4)
    in_order = len(image) < 2 or bool(np.all(image[1:] >= image[:-1]))
    order = None if in_order else np.argsort(image, kind="stable")
    if order is not None:
        image, boxes = image[order], boxes[order]
    i, j, iou = _sorted_pairs(image, boxes, min_iou, chunk)
    if order is None:
        return i, j, iou
    i, j = order[i], order[j]  # the sort is stable, so i < j still holds
    back = np.lexsort((j, i))
    return i[back], j[back], iou[back]


def _sorted_pairs(
    image: npt.NDArray[Any], boxes: npt.NDArray[Any], min_iou: float, chunk: int
) -> tuple[Ints, Ints, Floats]:
    n = len(image)
    starts = np.flatnonzero(np.r_[True, image[1:] != image[:-1]]) if n else np.zeros(0, np.int64)
    sizes = np.diff(np.r_[starts, n])
    partners = np.repeat(starts + sizes, sizes) - np.arange(n) - 1  # number of later rows in the same image
    done = np.cumsum(partners)
    columns = tuple(np.ascontiguousarray(boxes[:, c]) for c in range(4))
    found = [(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))]
    row = 0
    while row < n:
        before = int(done[row - 1]) if row else 0
        end = max(row + 1, int(np.searchsorted(done, before + chunk, side="right")))
        found.append(_overlaps(row, partners[row:end], columns, min_iou))
        row = end
    i, j, iou = (np.concatenate(part) for part in zip(*found, strict=True))
    return i, j, iou


def _overlaps(
    first: int, partners: Ints, columns: tuple[npt.NDArray[Any], ...], min_iou: float
) -> tuple[Ints, Ints, Floats]:
    """Compare consecutive rows with later ones: row first + k with the next `partners[k]` rows.

    Returns (i, j, IoU) of the pairs with IoU >= min_iou.
    """
    x1, y1, x2, y2 = columns
    i = np.repeat(np.arange(first, first + len(partners)), partners)
    j = i + 1 + np.arange(len(i)) - np.repeat(np.cumsum(partners) - partners, partners)
    # Most pairs do not overlap. Remove those by comparing x, then y, before any arithmetic.
    for low, high in ((x1, x2), (y1, y2)):
        near = np.flatnonzero((low[i] < high[j]) & (low[j] < high[i]))
        i, j = i[near], j[near]
    a, b = ([c[side].astype(np.float64) for c in columns] for side in (i, j))
    sides = (np.minimum(a[k + 2], b[k + 2]) - np.maximum(a[k], b[k]) for k in (0, 1))
    inter = np.multiply(*(np.maximum(side, 0.0) for side in sides))  # 0 for a box with x1 > x2
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - inter
    with np.errstate(invalid="ignore", divide="ignore"):
        iou = inter / union
    good = np.flatnonzero(iou >= min_iou)
    return i[good], j[good], iou[good]


def suppress(i: Ints, j: Ints, score: Floats) -> Bools:
    """For each box, whether greedy NMS keeps it. The arguments are those of `suppressors`."""
    return suppressors(i, j, score) < 0


def suppressors(i: Ints, j: Ints, score: Floats) -> Ints:
    """For each box, which pair suppresses it: the index of the pair in `i` and `j`; -1 for a box that is kept.

    The boxes of a pair overlap. The result is that of greedy NMS: boxes are taken by falling score, equal scores in
    input order, and only a kept box suppresses others. A box with the score NaN (human) comes first and is never
    suppressed. If several kept boxes suppress a box, the pair with the best of them is returned.
    """
    score = np.asarray(score, np.float64)
    human = np.isnan(score)
    rank = np.where(human, np.inf, score)
    first = rank[i] >= rank[j]  # i < j, so i wins a tie
    better, worse = np.where(first, i, j), np.where(first, j, i)
    rivals = ~human[worse]
    dropped = _dropped(better[rivals], worse[rivals], len(score))
    by = np.full(len(score), -1, np.int64)
    reasons = np.flatnonzero(rivals & dropped[worse] & ~dropped[better])
    reasons = reasons[np.lexsort((-better[reasons], rank[better[reasons]]))]
    by[worse[reasons]] = reasons  # the last assignment wins, and that is the best box
    return by


def _dropped(better: Ints, worse: Ints, n: int) -> Bools:
    """For each of `n` boxes, whether it is suppressed.

    Each round keeps the boxes that have no better undecided rival, and drops all rivals of these.
    """
    dropped = np.zeros(n, np.bool_)
    while len(worse):
        rivalled = np.zeros(n, np.bool_)
        rivalled[worse] = True
        dropped[worse[~rivalled[better]]] = True
        # A pair stays open while neither of its boxes is decided.
        open_ = rivalled[better] & ~dropped[better] & ~dropped[worse]
        better, worse = better[open_], worse[open_]
    return dropped
