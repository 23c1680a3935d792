"""Which box of one list is which of another: one to one, the pair that overlaps most first, whatever the labels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from engine.records.boxes import Box
from engine.records.labels import plain_label
from model.evaluate.matching import box_overlaps


def paired(
    first: Sequence[Box], second: Sequence[Box], labels: tuple[Sequence[str], Sequence[str]], *, iou: float
) -> dict[int, int]:
    """{row of first: row of second} of the pairs that overlap by `iou` or more.

    Of pairs that overlap equally those of one label come first, then those that come first in `first` and in
    `second`: give both in an order of their own, and the answer does not depend on the order of the input.
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
