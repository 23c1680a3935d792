"""Finds pairs of labels that look systematically confused, so that a user can check and hold them (refine.hold_labels).

`confused_by_people` compares annotators with people on audit images. It shows which label is right and needs no
student, so prefer it.

`confused_pairs` compares annotators with students that were not trained on the boxes in question. The method is that of
confident learning (Northcutt et al. 2021), without cleanlab, which would require all of scikit-learn. It shows that two
labels are confused, but not which one is right, because a student learns the majority. If annotators call seven of ten
balls rings, the student calls all ten rings, and the three correct labels are reported. If annotators call all balls
rings, nothing is reported.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from engine.records.labels import plain_label
from model.evaluate.resampling import Ints
from refinement.measures import Named

# {annotators' label: {label by students or people: (boxes on which these are sure, other boxes)}}
Called = Mapping[str, Mapping[str, Sequence[int]]]

MIN_COUNT, MIN_SHARE = 5, 0.1
CHANCE = 0.01  # the probability that any pair is reported although all errors are random


@dataclass(frozen=True, slots=True)
class ConfusedPair:
    """Boxes that annotators label `given` and that students or people label `likely`.

    count: the number of such boxes. share: in a comparison with students, their share of all boxes labelled `given`; in
    a comparison with people, their share of all objects that people label `likely`. expected: the count that random
    errors would give, if they fell on each label in proportion to its frequency. back: the number of boxes labelled
    `likely` that the others label `given`. Objects that look similar are confused in both directions; a habit of
    annotators goes in one.
    """

    given: str
    likely: str
    count: int
    share: float
    expected: float
    back: int


@dataclass(frozen=True, slots=True)
class Doubt:
    """How far students or people confirm one label. boxes: the number of boxes that annotators gave this label. agreed:
    the share of these boxes that the others label the same. sure: the share of the agreed boxes on which they are sure.
    """

    label: str
    boxes: int
    agreed: float
    sure: float


def confused_pairs(called: Called) -> list[ConfusedPair]:
    """The confused pairs according to students, most boxes first.

    Only sure answers count, with a probability of at least merge.relabel, because the merge would use these to replace
    a label. Confident learning takes the mean probability of each label as its threshold instead. That is worse here,
    because students are less sure of confused labels: in simulated noise it found 5 of 16 pairs. This threshold found
    15, and both found no wrong pair.
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
    """The confused pairs according to people, most boxes first. named: `measures.named` of the kept labels."""
    names, by_given, _ = _tables(called_by_people(named))
    joint = by_given.T
    found = [
        ConfusedPair(names[j], names[i], count, count / int(joint[i].sum()), expected, int(joint[j, i]))
        for i, j, count, expected in _concentrated(joint)
        if count >= MIN_SHARE * joint[i].sum()
    ]
    return sorted(found, key=lambda one: (-one.count, one.given, one.likely))


def called_by_people(named: Named) -> Called:
    """The counts for `confused_by_people`, over the objects that annotators found. People count as sure of
    every label.
    """
    rows = np.flatnonzero(named.seen).tolist()
    return added({named.called[row]: {named.labels[named.label[row]]: (1, 0)}} for row in rows)


def added(parts: Iterable[Called]) -> Called:
    """The sum of several counts, for example of the counts of several shards."""
    answer: dict[str, dict[str, tuple[int, int]]] = {}
    for part in parts:
        for label, others in part.items():
            own = answer.setdefault(label, {})
            for other, (sure, unsure) in others.items():
                before = own.get(other, (0, 0))
                own[other] = (before[0] + sure, before[1] + unsure)
    return answer


def doubts(called: Called) -> list[Doubt]:
    """A Doubt for each label, least confirmed first. Ambiguous, rare and wrong labels come early."""
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
    """The pairs in the form of `refine.hold_labels`. A pair and its reverse are listed once."""
    return sorted({tuple(sorted((one.given, one.likely))): [one.given, one.likely] for one in pairs}.values())


def _tables(called: Called) -> tuple[list[str], Ints, Ints]:
    """The plain labels, and two matrices of counts: one for boxes on which the others (students or people) are sure,
    one for the remaining boxes. Rows are the annotators' labels, columns those of the others.
    """
    names = sorted({plain_label(name) for label, others in called.items() for name in (label, *others)})
    number = {name: row for row, name in enumerate(names)}
    both = np.zeros((2, len(names), len(names)), np.int64)
    for label, others in called.items():
        for other, counts in others.items():
            both[:, number[plain_label(label)], number[plain_label(other)]] += counts
    return names, both[0], both[1]


def _concentrated(joint: Ints) -> list[tuple[int, int, int, float]]:
    """(row, column, count, expected) for each pair of labels with more errors than chance explains.

    By chance, the errors of a row would fall on the other labels in proportion to their frequency. The test is an exact
    binomial test with Bonferroni correction.
    """
    from scipy.special import bdtrc

    frequency = joint.sum(axis=0).astype(np.float64)
    wrong = joint.sum(axis=1) - joint.diagonal()
    rows, columns = np.nonzero((joint >= MIN_COUNT) & ~np.eye(len(joint), dtype=np.bool_))
    answer = []
    for i, j in zip(rows.tolist(), columns.tolist(), strict=True):
        share = frequency[j] / (frequency.sum() - frequency[i])
        chance = float(
            bdtrc(int(joint[i, j]) - 1, int(wrong[i]), share)
        )  # the probability of at least this many errors
        if chance * len(joint) * (len(joint) - 1) <= CHANCE:
            answer.append((i, j, int(joint[i, j]), float(wrong[i] * share)))
    return answer
