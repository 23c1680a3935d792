"""Compares a student's boxes with the given boxes of an image, and returns the changes that the evidence supports.

Regions without a change stay as they are. Boxes by people never change, and other boxes that overlap them are dropped.
The result does not depend on the order of the input; ties are broken by id.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from engine.records.boxes import Box, iou
from engine.records.labels import plain_label
from engine.records.overlaps import iou_pairs, suppressors
from refinement.match import paired
from refinement.options import MergeRules

Rule = Literal["moved", "relabelled", "added", "dropped", "duplicate"]
SAME_PLACE = 0.99  # a box whose IoU with its old place is above this has not moved


@dataclass(frozen=True, slots=True)
class Given:
    """A kept region. box: in pixels of the upright image. label: '' for a region of printed text.

    likelihood: how probable the student finds the box (teacher forcing). For each of the four locations, the
    probability of all locations within 6 % of the image is summed; this is the geometric mean of the four sums.
    label_likelihood: the student's probability of the label. Both are None if the student did not score the region;
    then they have no effect.
    """

    id: str
    kind: str
    label: str
    box: Box
    score: float | None = None
    human: bool = False
    likelihood: float | None = None
    label_likelihood: float | None = None
    has_mask: bool = False


@dataclass(frozen=True, slots=True)
class Proposed:
    """A box that the student proposes. label_score: the probability of its label. location: the probability of its box,
    computed like Given.likelihood.
    """

    label: str
    box: Box
    score: float
    label_score: float
    location: float
    kind: str = "object"
    id: str = ""


@dataclass(frozen=True, slots=True)
class Placed:
    """A region after the merge. score: the given score if only the box moved, else the probability of the new label.
    keeps_shape: whether mask and quad are kept; they are kept only if the box stays in place.
    """

    kind: str
    label: str
    box: Box
    score: float
    keeps_shape: bool


@dataclass(frozen=True, slots=True)
class Change:
    """A change of one region. value, threshold: the numbers that the rule compared.

    old: id of the given region; '' if a region is added. new: the region that replaces it; None if it is dropped. by:
    id of the student's box. into: id of the given region that a duplicate overlaps.

    moved        value: IoU of old and new box.                threshold: a box with at most this IoU counts as moved
    relabelled   value: probability of the student's label.    threshold: options.relabel. The box may have moved too
    added        value: probability of the student's label.    threshold: options.add
    dropped      value: likelihood of the given box.           threshold: options.drop
    duplicate    value: IoU with the region that stays.        threshold: options.nms
    """

    rule: Rule
    old: str
    new: Placed | None
    value: float
    threshold: float
    by: str = ""
    into: str = ""


def merge_regions(
    given: Iterable[Given], proposed: Iterable[Proposed], options: MergeRules | None = None
) -> list[Change]:
    """The changes of one image: at most one for each given region, in order of id, then the added regions from left to
    right.

    Boxes of the same kind are matched one to one, regardless of labels. A matched box becomes the weighted mean of both
    boxes, and takes the student's label if that is probable enough. An unmatched box of the student is added if its
    label is probable enough. An unmatched given box is dropped if its likelihood is low. Boxes that then overlap too
    much are duplicates of which one is kept: a matched box before an unmatched one, then the one with the higher
    likelihood. Boxes without area are ignored.
    """
    options = options or MergeRules()
    given = sorted(given, key=lambda one: one.id)
    proposed = sorted((one for one in proposed if _solid(one.box)), key=_proposal_order)
    outcomes = _outcomes(given, proposed, options)
    _suppress(outcomes, options.nms)
    changes = [outcome.change for outcome in outcomes if outcome.change is not None]
    return sorted(changes, key=lambda one: (not one.old, one.old, one.new.box if one.new else ()))


@dataclass(slots=True)
class _Outcome:
    """The outcome for one given region or one box of the student. evidence: of two overlapping regions, the one with
    the larger evidence stays.
    """

    kind: str
    box: Box
    evidence: tuple[float, ...]
    old: Given | None
    change: Change | None

    @property
    def stands(self) -> bool:
        return self.change is None or self.change.new is not None


def _solid(box: Box) -> bool:
    return all(map(math.isfinite, box)) and box[0] < box[2] and box[1] < box[3]


def _proposal_order(one: Proposed) -> tuple[object, ...]:
    return (one.box, one.kind, plain_label(one.label), -one.score, -one.label_score, -one.location, one.label, one.id)


def _outcomes(given: Sequence[Given], proposed: Sequence[Proposed], options: MergeRules) -> list[_Outcome]:
    answer: list[_Outcome] = []
    for kind in sorted({one.kind for one in given} | {one.kind for one in proposed}):
        own = [one for one in given if one.kind == kind]
        seen = [one for one in proposed if one.kind == kind]
        labels = [one.label for one in own], [one.label for one in seen]
        pairs = paired([one.box for one in own], [one.box for one in seen], labels, iou=options.match_iou)
        partner = {row: seen[pair] for row, pair in pairs.items()}
        answer += [_of_given(one, partner.get(row), options) for row, one in enumerate(own)]
        free = [one for row, one in enumerate(seen) if row not in set(pairs.values())]
        answer += [_added(one, options) for one in free if _enters(one, options)]
    return answer


def _of_given(one: Given, proposal: Proposed | None, options: MergeRules) -> _Outcome:
    change = None
    if not one.human:
        change = _dropped(one, options) if proposal is None else _improved(one, proposal, options)
    box = change.new.box if change and change.new else one.box
    likelihood = max(one.likelihood or 0.0, proposal.location if proposal else 0.0)
    evidence = (float(proposal is not None), likelihood, one.score or 0.0)
    return _Outcome(one.kind, box, evidence, one, change)


def _dropped(one: Given, options: MergeRules) -> Change | None:
    if one.likelihood is None or one.likelihood >= options.drop:
        return None
    return Change("dropped", one.id, None, one.likelihood, options.drop)


def _improved(one: Given, proposal: Proposed, options: MergeRules) -> Change | None:
    box = _between(one.box, proposal.box, options.geometry_weight)
    moved = iou(one.box, box)
    stays = moved > SAME_PLACE or (one.has_mask and moved >= options.mask_iou)
    box = one.box if stays else box
    if _relabels(one, proposal, options):
        new = Placed(one.kind, proposal.label, box, proposal.label_score, stays)
        return Change("relabelled", one.id, new, proposal.label_score, options.relabel, proposal.id)
    if stays:
        return None
    new = Placed(one.kind, one.label, box, one.score if one.score is not None else proposal.score, False)
    return Change("moved", one.id, new, moved, SAME_PLACE, proposal.id)


def _between(old: Box, new: Box, weight: float) -> Box:
    x1, y1, x2, y2 = ((1 - weight) * a + weight * b for a, b in zip(old, new, strict=True))
    return (x1, y1, x2, y2)


def _relabels(one: Given, proposal: Proposed, options: MergeRules) -> bool:
    """Whether the student's label replaces the given one. The student's label must be probable enough, more probable
    than the given label, and not held by `refine.hold_labels`.
    """
    if not proposal.label or plain_label(one.label) == plain_label(proposal.label):
        return False
    likelier = one.label_likelihood is None or proposal.label_score > one.label_likelihood
    return likelier and proposal.label_score >= options.relabel and not options.holds(one.label, proposal.label)


def _enters(one: Proposed, options: MergeRules) -> bool:
    return one.label_score >= options.add and not options.holds_any(one.label)


def _added(one: Proposed, options: MergeRules) -> _Outcome:
    new = Placed(one.kind, one.label, one.box, one.label_score, False)
    change = Change("added", "", new, one.label_score, options.add, one.id)
    return _Outcome(one.kind, one.box, (0.0, one.location, one.score), None, change)


def _suppress(outcomes: list[_Outcome], iou: float) -> None:
    """Marks given regions that overlap a better region as duplicates, and cancels added regions that do."""
    standing = [outcome for outcome in outcomes if outcome.stands]
    # Outcomes come sorted by id, given regions before added ones. The sort is stable, so ties keep that order.
    standing.sort(key=lambda outcome: outcome.evidence, reverse=True)
    kinds = sorted({outcome.kind for outcome in standing})
    image = np.array([kinds.index(outcome.kind) for outcome in standing], np.int64)
    boxes = np.array([outcome.box for outcome in standing], np.float64).reshape(-1, 4)
    rank = -np.arange(len(standing), dtype=np.float64)
    rank[[row for row, outcome in enumerate(standing) if outcome.old is not None and outcome.old.human]] = np.nan
    i, j, overlaps = iou_pairs(image, boxes, min_iou=iou)
    by = suppressors(i, j, rank)
    for row in np.flatnonzero(by >= 0).tolist():
        pair = by[row]
        winner, loser = standing[int(i[pair] + j[pair]) - row], standing[row]
        if loser.old is None:
            loser.change = None
        else:
            into = winner.old.id if winner.old is not None else ""
            loser.change = Change("duplicate", loser.old.id, None, float(overlaps[pair]), iou, into=into)
