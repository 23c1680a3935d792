"""Counts that the merge of a shard makes for the gate. decide.py adds up the counts of several shards."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypedDict

from model.evaluate.detections import Detection, Truth
from model.evaluate.matching import matched
from refinement.match import paired
from refinement.measures import distinct_share
from refinement.merge import Change, Given, Proposed
from refinement.options import MergeRules


class RegionTotals(TypedDict):
    """The counts of regions in a shard.

    called: {kept label: {student's label: [boxes for which the student is sure, other boxes]}}. agreement: {fold: [kept
    boxes, proposed boxes, matching boxes]}.
    """

    given: int
    human: int
    labels_before: dict[str, int]
    labels_after: dict[str, int]
    agreement: dict[str, list[int]]
    called: dict[str, dict[str, list[int]]]


class RegionCounts:
    """Counts the regions of a shard, one image after the other."""

    def __init__(self, options: MergeRules) -> None:
        self.options = options
        self.given, self.human = 0, 0
        self.before: Counter[str] = Counter()
        self.after: Counter[str] = Counter()
        self.called: dict[str, dict[str, list[int]]] = {}
        self.agreement: dict[str, list[int]] = {}

    def add(self, fold: int, given: Sequence[Given], proposed: Sequence[Proposed], changes: Sequence[Change]) -> None:
        """Counts one image. fold: the fold that the image is in."""
        self.given += sum(not one.human for one in given)
        self.human += sum(one.human for one in given)
        self._add_labels(given, changes)
        self._add_called(given, proposed)
        truth = [Truth(one.label, one.box) for one in given]
        found = [Detection(one.label, one.box, one.score) for one in proposed]
        sums = self.agreement.setdefault(str(fold), [0, 0, 0])
        for column, number in enumerate((len(truth), len(found), int(matched(truth, found)[0].sum()))):
            sums[column] += number

    def _add_labels(self, given: Sequence[Given], changes: Sequence[Change]) -> None:
        labels = {one.id: one.label for one in given}
        self.before.update(labels.values())
        for change in changes:
            labels.pop(change.old, None)
        self.after.update([*labels.values(), *(change.new.label for change in changes if change.new)])

    def _add_called(self, given: Sequence[Given], proposed: Sequence[Proposed]) -> None:
        names = [one.label for one in given], [one.label for one in proposed]
        pairs = paired([one.box for one in given], [one.box for one in proposed], names, iou=self.options.match_iou)
        for a, b in pairs.items():
            sure = proposed[b].label_score >= self.options.relabel
            counts = self.called.setdefault(given[a].label, {}).setdefault(proposed[b].label, [0, 0])
            counts[int(not sure)] += 1

    def totals(self) -> RegionTotals:
        return {
            "given": self.given,
            "human": self.human,
            "labels_before": dict(sorted(self.before.items())),
            "labels_after": dict(sorted(self.after.items())),
            "agreement": self.agreement,
            "called": self.called,
        }


class TextTotals(TypedDict):
    """The counts of texts in a shard.

    distinct: the share of different word pairs in `captions` captions, before and after the merge.
    """

    given: int
    human: int
    distinct: list[float | None]
    captions: int


@dataclass(slots=True)
class TextCounts:
    """Counts the texts of a shard.

    before, after: its captions, equally many of each image, because more texts repeat more word pairs.
    """

    given: int = 0
    human: int = 0
    before: list[str] = field(default_factory=list)
    after: list[str] = field(default_factory=list)

    def totals(self) -> TextTotals:
        shares = [share if math.isfinite(share) else None for share in map(distinct_share, (self.before, self.after))]
        return {"given": self.given, "human": self.human, "distinct": shares, "captions": len(self.before)}


def diversity(shards: Iterable[TextTotals]) -> tuple[float, float]:
    """Mean share of different word pairs in a shard, before and after, weighted by captions.

    NaN if there are no captions.
    """
    known = [shard for shard in shards if None not in shard["distinct"]]
    total = sum(shard["captions"] for shard in known)
    if not total:
        return math.nan, math.nan
    before, after = (sum((shard["distinct"][side] or 0.0) * shard["captions"] for shard in known) for side in (0, 1))
    return before / total, after / total
