from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from refinement.confusion import (
    Called,
    added,
    called_by_people,
    confused_by_people,
    confused_pairs,
    doubts,
    to_hold,
)
from refinement.match import paired
from refinement.measures import Named, named
from tests.refinement.simulated import Labels, Oracle, Student, found, noisy, truth

CONFUSE = {"ball": "ring", "cross": "star"}
PAIRS = [["cross", "star"], ["ball", "ring"]]


@pytest.fixture(scope="module")
def world() -> Any:
    return truth(400)


def matched(labels: Labels, student: Student) -> Called:
    """The labels of annotators and students for the boxes that both found."""
    given, theirs, scores = list[str](), list[str](), list[float]()
    for proposed, own in student(labels).values():
        names = [one.label for one in own], [one.label for one in proposed]
        for a, b in paired([one.box for one in own], [one.box for one in proposed], names, iou=0.4).items():
            given.append(own[a].label)
            theirs.append(proposed[b].label)
            scores.append(proposed[b].label_score)
    return counted(given, theirs, scores)


def counted(given: list[str], other: list[str], scores: list[float]) -> Called:
    columns = zip(given, other, scores, strict=True)
    return added({label: {other: (int(score >= 0.5), int(score < 0.5))}} for label, other, score in columns)


def test_students_reveal_a_systematic_error_on_the_boxes_that_are_right(world: Any) -> None:
    called = matched(noisy(world, confuse=CONFUSE, flip=0.0), Oracle(world, confuse=CONFUSE))
    pairs = confused_pairs(called)
    assert {(one.given, one.likely) for one in pairs} == set(CONFUSE.items())
    assert all(one.count > 2 * one.expected and one.share > 0.4 for one in pairs)
    assert {one.label for one in doubts(called)[:2]} == set(CONFUSE)


@pytest.mark.parametrize("wrong", [0.04, 0.3])
def test_random_errors_are_not_reported(world: Any, wrong: float) -> None:
    assert confused_pairs(matched(noisy(world), Oracle(world, wrong=wrong))) == []


def test_the_comparison_with_people_shows_which_label_is_wrong(world: Any) -> None:
    labels = noisy(world, confuse=CONFUSE)
    some = dict(list(world.items())[:200])
    pairs = confused_by_people(named(some, found({name: labels[name] for name in some})))
    assert {(one.likely, one.given) for one in pairs} == set(CONFUSE.items())
    assert sorted(map(sorted, to_hold(pairs))) == sorted(PAIRS)
    assert (
        confused_by_people(named(some, found({name: one for name, one in noisy(world).items() if name in some}))) == []
    )


def test_only_people_reveal_an_error_in_every_label(world: Any) -> None:
    labels = noisy(world, confuse=CONFUSE, confuse_share=1.0, flip=0.0)
    assert confused_pairs(matched(labels, Oracle(world, confuse=CONFUSE, confused=1.0, wrong=0.0))) == []
    assert len(confused_by_people(named(world, found(labels)))) == 2


def test_an_unsure_answer_does_not_count() -> None:
    given = ["ball"] * 30 + ["ring"] * 30 + ["star"] * 30
    theirs = ["ring"] * 20 + ["ball"] * 10 + given[30:]
    assert [(one.count, one.back) for one in confused_pairs(counted(given, theirs, [0.9] * 90))] == [(20, 0)]
    assert confused_pairs(counted(given, theirs, [0.4] * 20 + [0.9] * 70)) == []


def test_errors_spread_over_all_labels_are_not_reported() -> None:
    given = ["ball"] * 50 + ["ring"] * 40 + ["star"] * 40
    theirs = ["ring"] * 7 + ["star"] * 6 + ["ball"] * 37 + given[50:]
    assert confused_pairs(counted(given, theirs, [0.9] * 130)) == []
    assert len(confused_pairs(counted(given, ["ring"] * 13 + theirs[13:], [0.9] * 130))) == 1


def test_doubts_are_the_share_agreed_and_the_share_of_those_that_is_sure() -> None:
    answer = doubts(counted(["a", "a", "a", "B"], ["A", "b", "a", "b"], [0.9, 0.9, 0.4, 0.5]))
    assert [(one.label, one.boxes) for one in answer] == [("a", 3), ("b", 1)]
    assert answer[0].agreed == pytest.approx(2 / 3)
    assert (answer[0].sure, answer[1].sure) == (0.5, 1.0)


def test_people_confirm_the_label_ring_least(world: Any) -> None:
    first, *_ = doubts(called_by_people(named(world, found(noisy(world, confuse={"ball": "ring"}, flip=0.0)))))
    assert first.label == "ring"
    assert 0.3 < first.agreed < 0.8
    assert first.sure == 1.0


def test_without_boxes_there_are_no_pairs() -> None:
    empty = np.zeros(0, np.int64)
    assert confused_pairs({}) == []
    assert doubts({}) == []
    assert confused_by_people(Named((), 0, empty, empty, ())) == []
