"""Turns the boxes that a model found for names into regions and phrases.

If boxes of several phrases of an image are nearly the same, they become one region, even if the phrases are in
different texts. For example, "a man" and "he" name one region, which needs only one mask. The score of the region is
the highest score that a phrase has for it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from engine.records.boxes import clipped_boxes
from engine.records.overlaps import iou_pairs, suppress, suppressors
from engine.schema import Answer, Chunk, Phrase, Region, Text
from specialists.transformers.open_vocabulary import Floats, Found

SAME_REGION = 0.9  # two boxes with at least this IoU are one region


@dataclass(frozen=True, slots=True)
class Limits:
    """Decides which boxes of a name are kept. `box`, `phrase`: the lowest allowed probabilities (see Found). `iou`: if
    two boxes of a name have at least this IoU, the worse is left out. `count`: the most boxes; the best are kept.
    """

    box: float
    phrase: float
    iou: float
    count: int


@dataclass(frozen=True, slots=True)
class Named:
    """The boxes of one name, best first, with their scores. `phrase`: the score of the phrase. It is the phrase's
    probability for the best box, or its highest probability for any box if no box is kept. It is 0 if the model gave no
    box, or if the name was in no prompt.
    """

    boxes: Floats = field(default_factory=lambda: np.zeros((0, 4)))
    scores: Floats = field(default_factory=lambda: np.zeros(0))
    phrase: float = 0.0


def corners(found: Found, frame: tuple[int, int], width: int, height: int) -> Floats:
    """The boxes of an answer as x1, y1, x2, y2 in pixels, cut at the edges of the image. `frame`: the size in pixels
    that the answer's boxes are shares of.

    A box that is not finite gets no area. Neither does a box that would have no area once it is stored as float32.
    """
    half = found.boxes[:, 2:] / 2
    whole = np.hstack([found.boxes[:, :2] - half, found.boxes[:, :2] + half]) * np.array([*frame, *frame], np.float64)
    inside: Floats = np.nan_to_num(clipped_boxes(whole, width, height), nan=0.0).astype(np.float32).astype(np.float64)
    return inside


def named(boxes: Floats, phrase: Floats, box: Floats, limits: Limits) -> Named:
    """The boxes that are kept for one name. `phrase`, `box`: the columns of the answer for this name."""
    solid = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
    rows = np.flatnonzero(solid & (box >= limits.box) & (phrase >= limits.phrase))
    order = rows[np.argsort(-box[rows], kind="stable")]
    i, j, _ = iou_pairs(np.zeros(len(order), np.int64), boxes[order], min_iou=max(limits.iou, 1e-9))
    kept = order[suppress(i, j, box[order])][: limits.count]
    return Named(boxes[kept], box[kept], float(phrase[kept[0]] if len(kept) else phrase[solid].max(initial=0.0)))


def detected(boxes: Floats, phrase: Floats, limits: Limits) -> Iterator[Named]:
    """The boxes that are kept for each label, in the order of the labels. A box counts only for its most probable
    label.
    """
    best = phrase.argmax(axis=1)
    for label in range(phrase.shape[1]):
        own = np.where(best == label, phrase[:, label], -1.0)
        yield named(boxes, own, own, limits)


class AnswerBuilder:
    """Collects the annotations of one image."""

    def __init__(self, *, phrase_kind: str, box_kind: str) -> None:
        self.answer = Answer()
        self._kinds = phrase_kind, box_kind
        self._ids = map(str, itertools.count())

    def add_objects(self, label: str, found: Named) -> None:
        """Adds the boxes of one label."""
        for box, score in zip(found.boxes, found.scores, strict=True):
            self._add_region(box, score, label, self._kinds[0])

    def add_phrases(self, chunks: Sequence[tuple[Text, Chunk, Named]]) -> None:
        """Adds the phrases of all texts and their regions. Chunks with the same name may share one `Named` object."""
        names = {id(found): found for *_, found in chunks}
        if not names:
            return
        boxes = np.concatenate([found.boxes for found in names.values()])
        scores = np.concatenate([found.scores for found in names.values()])
        same = _same_regions(boxes, scores)
        ends = np.cumsum([len(found.boxes) for found in names.values()]).tolist()
        rows = {
            name: same[end - len(found.boxes) : end] for (name, found), end in zip(names.items(), ends, strict=True)
        }
        regions: dict[int, Region] = {}
        for text, chunk, found in chunks:
            for row in rows[id(found)]:
                if row not in regions:
                    regions[row] = self._add_region(boxes[row], scores[row], "", self._kinds[1])
                    regions[row].kind = "phrase"
                if text.id not in regions[row].parents:
                    regions[row].parents.append(text.id)
            ids = list(dict.fromkeys(regions[row].id for row in rows[id(found)]))
            phrase = Phrase(text.id, chunk.char_start, chunk.char_end, ids, id=next(self._ids), score=found.phrase)
            # Its regions are not its parents. If they were, a rule that drops one region would drop the phrase too.
            phrase.score_kind, phrase.parents = self._kinds[0], [text.id]
            self.answer.phrases.append(phrase)

    def _add_region(self, box: Floats, score: float, label: str, kind: str) -> Region:
        x1, y1, x2, y2 = box.tolist()
        region = Region(x1, y1, x2, y2, label, id=next(self._ids), score=float(score), score_kind=kind)
        self.answer.regions.append(region)
        return region


def _same_regions(boxes: Floats, scores: Floats) -> list[int]:
    """For each box, the row of the box that becomes its region: its own row, or that of a better box that is nearly the
    same.
    """
    i, j, _ = iou_pairs(np.zeros(len(boxes), np.int64), boxes, min_iou=SAME_REGION)
    better = suppressors(i, j, scores)
    return [row if pair < 0 else int(i[pair] + j[pair] - row) for row, pair in enumerate(better.tolist())]
