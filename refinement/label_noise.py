"""Which labels look systematically confused, so that a person can look and hold the pair out (refine.hold_labels).

Two ways. `confused_by_people` compares annotators with people on audit images: it knows who is right, needs no student,
and is to be preferred. `confused_pairs` compares annotators with students that did not train on these boxes, after
confident learning (Northcutt et al. 2021; a count and a test, for which cleanlab would bring all of scikit-learn). It
tells that two labels are mixed up, and not which is right. A student agrees with the majority: where seven of ten
balls are called rings it calls all balls rings, so the three that are right are what stands out. Where all of them are
called rings nothing does, and only people can tell.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from model.evaluate.detections import plain_label
from model.evaluate.resampling import Ints
from refinement.measures import Named

MIN_COUNT, MIN_SHARE = 5, 0.1
CHANCE = 0.01  # that any pair at all is named where errors fall at random


@dataclass(frozen=True, slots=True)
class ConfusedPair:
    """Boxes that annotators call `given` and that others, students or people, call `likely`.

    share: of all boxes that annotators call `given`; of people's comparison, of all objects that are `likely`.
    expected: how many there would be if as many mistakes fell on all labels by how frequent those are. back: the
    opposite mistake; a pair mixed up both ways looks alike, one way is rather a habit.
    """

    given: str
    likely: str
    count: int
    share: float
    expected: float
    back: int


@dataclass(frozen=True, slots=True)
class Doubt:
    """How students meet one label: the share of its boxes they call so too, and how sure they are then."""

    label: str
    boxes: int
    agreed: float
    confidence: float


def confused_pairs(
    given_labels: Sequence[str], student_labels: Sequence[str], student_scores: Sequence[float], *, sure: float = 0.5
) -> list[ConfusedPair]:
    """Most boxes first. One entry a matched box; a score is the probability the student gives its own label.

    An answer counts from `sure` on, merge.relabel: then these are the labels that the merge would replace. The bar of
    the paper, each label's mean, is worse here, for it is the confused labels of which students are less sure: it
    named 5 of 16 pairs in simulated noise where this one named 15, and neither named another one.
    """
    names, given, said = _numbered(given_labels, student_labels)
    counts = np.array(student_scores, np.float64) >= sure
    joint = _joint(given[counts], said[counts], len(names))
    totals = np.bincount(given, minlength=len(names))
    found = [
        ConfusedPair(names[i], names[j], count, count / int(totals[i]), expected, int(joint[j, i]))
        for i, j, count, expected in _concentrated(joint)
        if count >= MIN_SHARE * totals[i]
    ]
    return sorted(found, key=lambda one: (-one.count, one.given, one.likely))


def confused_by_people(named: Named) -> list[ConfusedPair]:
    """What annotators call the objects that people labelled (`measures.named` of the kept labels), most first."""
    seen = np.flatnonzero(named.seen).tolist()
    true = [named.labels[named.label[row]] for row in seen]
    names, rows, called = _numbered(true, [named.called[row] for row in seen])
    joint = _joint(rows, called, len(names))
    found = [
        ConfusedPair(names[j], names[i], count, count / int(joint[i].sum()), expected, int(joint[j, i]))
        for i, j, count, expected in _concentrated(joint)
        if count >= MIN_SHARE * joint[i].sum()
    ]
    return sorted(found, key=lambda one: (-one.count, one.given, one.likely))


def doubts(given_labels: Sequence[str], student_labels: Sequence[str], student_scores: Sequence[float]) -> list[Doubt]:
    """Every label, the least agreed with first: a label that is two things, or rare, or wrong, comes early."""
    names, given, said = _numbered(given_labels, student_labels)
    scores = np.array(student_scores, np.float64)
    answer = []
    for row in np.unique(given).tolist():
        own = given == row
        same = own & (said == row)
        confidence = float(scores[same].mean()) if same.any() else 0.0
        answer.append(Doubt(names[row], int(own.sum()), int(same.sum()) / int(own.sum()), confidence))
    return sorted(answer, key=lambda one: (one.agreed, one.label))


def to_hold(pairs: Iterable[ConfusedPair]) -> list[list[str]]:
    """As `refine.hold_labels` takes them, each pair once."""
    return sorted({tuple(sorted((one.given, one.likely))): [one.given, one.likely] for one in pairs}.values())


def _numbered(first: Sequence[str], second: Sequence[str]) -> tuple[list[str], Ints, Ints]:
    plain = [[plain_label(label) for label in some] for some in (first, second)]
    names = sorted({*plain[0], *plain[1]})
    number = {name: row for row, name in enumerate(names)}
    rows, columns = (np.array([number[name] for name in some], np.int64) for some in plain)
    return names, rows, columns


def _joint(rows: Ints, columns: Ints, labels: int) -> Ints:
    joint = np.zeros((labels, labels), np.int64)
    np.add.at(joint, (rows, columns), 1)
    return joint


def _concentrated(joint: Ints) -> list[tuple[int, int, int, float]]:
    """(row, column, count, expected) of mistakes that fall on one label more often than chance would have it.

    By chance the mistakes of a row fall on the other labels as often as those are said at all. Exact binomial, over
    all pairs that were looked at.
    """
    from scipy.special import bdtrc

    said = joint.sum(axis=0).astype(np.float64)
    wrong = joint.sum(axis=1) - joint.diagonal()
    rows, columns = np.nonzero((joint >= MIN_COUNT) & ~np.eye(len(joint), dtype=np.bool_))
    answer = []
    for i, j in zip(rows.tolist(), columns.tolist(), strict=True):
        share = said[j] / (said.sum() - said[i])
        chance = float(bdtrc(int(joint[i, j]) - 1, int(wrong[i]), share))  # of as many or more
        if chance * len(joint) * (len(joint) - 1) <= CHANCE:
            answer.append((i, j, int(joint[i, j]), float(wrong[i] * share)))
    return answer
