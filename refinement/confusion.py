"""Which labels look systematically confused, so that a person can look and hold the pair out (refine.hold_labels).

Two ways. `confused_by_people` compares annotators with people on audit images: it knows who is right, needs no student,
and is to be preferred. `confused_pairs` compares annotators with students that did not train on these boxes, after
confident learning (Northcutt et al. 2021; a count and a test, for which cleanlab would bring all of scikit-learn). It
tells that two labels are mixed up, and not which is right. A student agrees with the majority: where seven of ten
balls are called rings it calls all balls rings, so the three that are right are what stands out. Where all of them are
called rings nothing does, and only people can tell.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from engine.records.labels import plain_label
from model.evaluate.resampling import Ints
from refinement.measures import Named

# Of boxes that annotators call by the first label and others by the second: of how many these are sure, and are not.
Called = Mapping[str, Mapping[str, Sequence[int]]]

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
    """How others meet one label: the share of its boxes they call so too, and of those the share they are sure of."""

    label: str
    boxes: int
    agreed: float
    sure: float


def confused_pairs(called: Called) -> list[ConfusedPair]:
    """Most boxes first.

    Only sure answers count, and students are sure from merge.relabel on: then these are the labels that the merge would
    replace. The bar of the paper, each label's mean, is worse here, for it is the confused labels of which students
    are less sure: it named 5 of 16 pairs in simulated noise where this one named 15, and neither named another one.
    """
    names, sure, unsure = _tables(called)
    totals = (sure + unsure).sum(axis=1)
    found = [
        ConfusedPair(names[i], names[j], count, count / int(totals[i]), expected, int(sure[j, i]))
        for i, j, count, expected in _concentrated(sure)
        if count >= MIN_SHARE * totals[i]
    ]
    return sorted(found, key=lambda one: (-one.count, one.given, one.likely))


def confused_by_people(named: Named) -> list[ConfusedPair]:
    """What annotators call the objects that people labelled (`measures.named` of the kept labels), most first."""
    names, by_given, _ = _tables(called_by_people(named))
    joint = by_given.T
    found = [
        ConfusedPair(names[j], names[i], count, count / int(joint[i].sum()), expected, int(joint[j, i]))
        for i, j, count, expected in _concentrated(joint)
        if count >= MIN_SHARE * joint[i].sum()
    ]
    return sorted(found, key=lambda one: (-one.count, one.given, one.likely))


def called_by_people(named: Named) -> Called:
    """Of the objects that annotators saw. People are sure."""
    rows = np.flatnonzero(named.seen).tolist()
    return added({named.called[row]: {named.labels[named.label[row]]: (1, 0)}} for row in rows)


def added(parts: Iterable[Called]) -> Called:
    """What was counted in parts, such as shards, as one."""
    answer: dict[str, dict[str, tuple[int, int]]] = {}
    for part in parts:
        for label, others in part.items():
            own = answer.setdefault(label, {})
            for other, (sure, unsure) in others.items():
                before = own.get(other, (0, 0))
                own[other] = (before[0] + sure, before[1] + unsure)
    return answer


def doubts(called: Called) -> list[Doubt]:
    """Every label, the least agreed with first: a label that is two things, or rare, or wrong, comes early."""
    names, sure, unsure = _tables(called)
    totals, same = (sure + unsure).sum(axis=1), (sure + unsure).diagonal()
    answer = [
        Doubt(name, total, agreed / total, certain / agreed if agreed else 0.0)
        for name, total, agreed, certain in zip(
            names, totals.tolist(), same.tolist(), sure.diagonal().tolist(), strict=True
        )
        if total
    ]
    return sorted(answer, key=lambda one: (one.agreed, one.label))


def to_hold(pairs: Iterable[ConfusedPair]) -> list[list[str]]:
    """As `refine.hold_labels` takes them, each pair once."""
    return sorted({tuple(sorted((one.given, one.likely))): [one.given, one.likely] for one in pairs}.values())


def _tables(called: Called) -> tuple[list[str], Ints, Ints]:
    """Plain labels, and how often each (row) is called each (column) surely and otherwise."""
    names = sorted({plain_label(name) for label, others in called.items() for name in (label, *others)})
    number = {name: row for row, name in enumerate(names)}
    both = np.zeros((2, len(names), len(names)), np.int64)
    for label, others in called.items():
        for other, counts in others.items():
            both[:, number[plain_label(label)], number[plain_label(other)]] += counts
    return names, both[0], both[1]


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
