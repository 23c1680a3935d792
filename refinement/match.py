"""Matches the boxes of two lists one to one, highest IoU first and regardless of labels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from engine.records.boxes import Box
from engine.records.labels import plain_label
from model.evaluate.matching import box_overlaps


def paired(
    first: Sequence[Box], second: Sequence[Box], labels: tuple[Sequence[str], Sequence[str]], *, iou: float
) -> dict[int, int]:
    """{row of `first`: row of `second`} for the matched boxes. Only pairs with an IoU of at least `iou` are matched.

    `labels`: the labels of both lists, used only for ties. Among pairs with equal IoU, those with the same label come
    first, then those with the lower row in `first`, then in `second`. If both lists are sorted, the result does not
    depend on the order of the input.
    """
    overlaps = box_overlaps(first, second)
    i, j = np.nonzero(overlaps >= iou)
    plain = [[plain_label(label) for label in some] for some in labels]
    same = [plain[0][a] == plain[1][b] for a, b in zip(i.tolist(), j.tolist(), strict=True)]
    order = np.lexsort((j, i, ~np.array(same, np.bool_), -overlaps[i, j]))
    pairs: dict[int, int] = {}
    taken: set[int] = set()
    for a, b in zip(i[order].tolist(), j[order].tolist(), strict=True):
        if a not in pairs and b not in taken:
            pairs[a] = b
            taken.add(b)
    return pairs
