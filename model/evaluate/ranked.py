"""Average precision of ranked detections, for many resamples of their images at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from model.evaluate.resampling import Bools, Floats, Ints

RECALLS = np.linspace(0.0, 1.0, 101)
_RESAMPLES = 500  # computed at once: wide rows are fast, but the arrays of a label should stay in the cache
Drawn = npt.NDArray[np.int32]  # images x some resamples: how often each image was drawn


@dataclass(frozen=True, slots=True)
class Ranked:
    """The matches of one label, highest score first.

    `image`: row of each detection's image. `right`, `counted`: thresholds x detections. `positives`: number of objects
    in each image.
    """

    image: Ints
    right: Bools
    counted: Bools
    positives: Ints

    def average_precision(self, counts: Ints) -> Floats:
        """AP, resamples x thresholds, as COCOeval.accumulate gives it for repeated images. A row of `counts` is one
        resample: how often each image was drawn.

        There is one difference. If an image is drawn twice, detections with equal scores keep their order here, while
        COCOeval interleaves them.
        """
        return self.of_blocks(blocks(counts))

    def of_blocks(self, drawn: Sequence[Drawn]) -> Floats:
        """The same, for the `blocks` of the counts."""
        hits = [np.flatnonzero(right) for right in self.right]
        ends = np.unique(np.concatenate(hits))
        rows = [np.searchsorted(ends, some) for some in hits]
        steps = self._steps(ends)
        some = np.flatnonzero(self.positives)
        parts = []
        for block in drawn:
            total = self.positives[some] @ block[some]
            seen = {key: _running(np.add, matrix @ block) for key, matrix in steps.items()}
            columns = []
            for mine, at, counted in zip(hits, rows, self.counted, strict=True):
                found = _running(np.add, block[self.image[mine]])
                columns.append(_one_threshold(found, seen[counted.tobytes()][at], total))
            parts.append(np.column_stack(columns))
        return np.concatenate(parts)

    def _steps(self, ends: Ints) -> dict[bytes, Any]:
        """Matrices, `ends` x images: the counted detections of each image from one end to the next. Their keys are the
        rows of `counted`, which are equal for all thresholds if there are no crowds.
        """
        from scipy.sparse import csr_array

        made: dict[bytes, Any] = {}
        for counted in self.counted:
            if (key := counted.tobytes()) not in made:
                place = np.flatnonzero(counted)
                cuts = np.append(0, np.searchsorted(place, ends, side="right"))
                image = self.image[place[: cuts[-1]]]
                ones = np.ones(len(image), np.int32)
                made[key] = csr_array((ones, image, cuts), shape=(len(ends), len(self.positives)))
        return made


def blocks(counts: Ints) -> list[Drawn]:
    """Counts, resamples x images, in the layout that `Ranked.of_blocks` reads fast."""
    cuts = range(0, len(counts), _RESAMPLES)
    return [np.ascontiguousarray(counts[at : at + _RESAMPLES].T, np.int32) for at in cuts]


def _one_threshold(found: npt.NDArray[Any], seen: npt.NDArray[Any], total: Ints) -> Floats:
    """AP at one threshold, for each resample. `found`: right detections up to each right one. `seen`: all detections
    up to each right one. `total`: true objects. Recall rises only at right detections, so the curve needs no other
    points.
    """
    precision = found / (seen + np.spacing(1))
    best_from_here = _running(np.maximum, precision[::-1])[::-1]
    with np.errstate(invalid="ignore", divide="ignore"):
        recall = found / total
        nearest = np.rint(recall * 100)
        reached = nearest + (nearest * 0.01 <= recall)  # RECALLS[k] is k * 0.01: how many of them are reached
    reached[1:] -= reached[:-1].copy()
    answer: Floats = np.einsum("ij,ij->j", best_from_here, reached) / len(RECALLS)
    answer[total == 0] = np.nan
    return answer


def _running(operation: np.ufunc, rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """`operation.accumulate(rows)` in place. For wide rows it is several times faster."""
    for last, row in pairwise(rows):
        operation(last, row, out=row)
    return rows
