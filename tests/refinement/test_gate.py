"""Good and bad students on simulated scenes: what they do to the labels, and whether the gate accepts it."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest

from engine.errors import ConfigError
from model.evaluate.detections import Detection, Truth, TruthImage
from pipelines.recipe import parse_recipe
from refinement.gate import Decision, RoundMeasures, judge_round
from refinement.measures import Audit, Counted, audit, named
from refinement.options import GateOptions, MergeRules, held
from tests.refinement.simulated import (
    Labels,
    Oracle,
    Round,
    Shuffled,
    Student,
    UnderTrained,
    f1,
    found,
    noisy,
    play_round,
    truth,
    untrained,
)

IMAGES, AUDITED = 400, 200
CONFUSE = {"ball": "ring", "cross": "star"}


@pytest.fixture(scope="module")
def world() -> Any:
    return truth(IMAGES)


@pytest.fixture(scope="module")
def labels(world: Any) -> Labels:
    return noisy(world)


@pytest.fixture(scope="module")
def biased(world: Any) -> Labels:
    return noisy(world, confuse=CONFUSE, flip=0.0, miss_small=0.55)


def judged(world: Any, done: Round, audited: int = AUDITED) -> Decision:
    return judge_round(done.measures(world, audited))


def test_a_good_student_improves_labels_in_every_round_and_is_accepted(world: Any, labels: Labels) -> None:
    first = play_round(labels, Oracle(world))
    second = play_round(first.after, Oracle(world, seed=1))
    scores = [f1(world, some) for some in (labels, first.after, second.after)]
    assert 0.58 < scores[0] < 0.68
    assert scores[1] > scores[0] + 0.2
    assert scores[2] > scores[1]
    assert f1(world, first.after, 0.75) > f1(world, labels, 0.75) + 0.2
    for done in (first, second):
        decision = judged(world, done)
        assert (decision.accepted, decision.reasons) == (True, [])


def test_an_untrained_student_would_drop_everything(world: Any, labels: Labels) -> None:
    done = play_round(labels, untrained)
    decision = judged(world, done, 0)
    assert f1(world, done.after) == 0
    assert not decision.accepted
    assert "F1 0.000, below gate.min_agreement 0.25" in decision.reasons[0]
    assert "dropped 1.000 of" in decision.reasons[1]


@pytest.mark.parametrize("kind", [Shuffled, UnderTrained])
def test_a_student_that_does_damage_is_refused_without_any_audit_image(world: Any, labels: Labels, kind: Any) -> None:
    student: Student = kind(Oracle(world))
    done = play_round(labels, student)
    decision = judged(world, done, 0)
    assert f1(world, done.after) < f1(world, labels) - 0.05
    assert not decision.accepted
    assert decision.measures["agreement"] is not None
    assert decision.measures["agreement"] < 0.12  # the study's had .066 and .003


def test_only_labels_of_people_reveal_a_learned_bias(world: Any, biased: Labels) -> None:
    done = play_round(biased, Oracle(world, confuse=CONFUSE))
    blind, seeing = judged(world, done, 0), judged(world, done)
    assert blind.accepted
    assert "BIAS IS UNGUARDED" in blind.alarms[0]
    assert not seeing.accepted
    assert any("'ball'" in reason and "mostly 'ring' instead" in reason for reason in seeing.reasons)
    assert not any("UNGUARDED" in alarm for alarm in seeing.alarms)
    assert f1(world, done.after) > f1(world, biased) + 0.1  # F1 alone does not show it


def test_the_same_student_only_improves_labels_if_confused_pairs_are_held(world: Any, biased: Labels) -> None:
    options = MergeRules(keep_labels=held([["ball", "ring"], ["cross", "star"]]))
    done = play_round(biased, Oracle(world, confuse=CONFUSE), options)
    assert judged(world, done).accepted
    assert f1(world, done.after) > f1(world, biased) + 0.1
    before, after = (named(world, found(some)) for some in (biased, done.after))
    for label in CONFUSE:
        (was_right, was_seen), (right, seen) = (right_of_seen(one, label) for one in (before, after))
        assert was_right < 0.45 * was_seen
        assert right >= was_right
        assert right / seen > was_right / was_seen - 0.03  # the mean box overlaps better: two more of 43 are found


def right_of_seen(one: Any, label: str) -> tuple[int, int]:
    which = one.label == one.labels.index(label)
    return int((which & one.right).sum()), int((which & one.seen).sum())


# --- each rule ----------------------------------------------------------------------------------


def counted(right: int, labels: int = 100, seen: int = 100) -> Counted:
    return Counted(*(np.array([number], np.int64) for number in (labels, seen, right)))


def measures(**changed: Any) -> RoundMeasures:
    return RoundMeasures(**({"agreement": [counted(50)], "given": 100, "changes": {}} | changed))


def test_the_worst_fold_decides_and_without_folds_agreement_is_0() -> None:
    assert judge_round(measures()).accepted
    assert not judge_round(measures(agreement=[counted(50), counted(10)])).accepted
    assert judge_round(measures(agreement=[])).measures["agreement"] == 0


@pytest.mark.parametrize("rule", ["dropped", "relabelled", "added"])
def test_a_share_may_reach_its_cap_but_not_exceed_it(rule: str) -> None:
    options = GateOptions(max_dropped=0.2, max_relabelled=0.2, max_added=0.2)
    assert judge_round(measures(changes={rule: 20}), options).accepted
    (reason,) = judge_round(measures(changes={rule: 21}), options).reasons
    assert f"{rule} 0.210 of 100 regions, above gate.max_{rule} 0.2" in reason


def test_moves_do_not_count_as_change() -> None:
    changes = Counter({"moved": 90, "relabelled": 2, "added": 3, "dropped": 1, "duplicate": 1})
    assert judge_round(measures(changes=changes)).measures["changed"] == pytest.approx(0.07)


def test_good_rounds_of_the_study_pass_and_bad_ones_do_not() -> None:
    good = {"moved": 3231, "relabelled": 418, "added": 1510, "dropped": 874}
    assert judge_round(measures(agreement=[counted(44)], given=4966, changes=good)).accepted
    bad = judge_round(measures(agreement=[counted(7)], given=2475, changes={"dropped": 839}))
    assert len(bad.reasons) == 2


def of_texts(before: list[float], after: list[float]) -> Audit:
    nothing = {f"{n:02}": TruthImage(9, 9) for n in range(len(before))}
    return audit(nothing, {}, {}, {"CIDEr-D": (np.array(before), np.array(after))})


def test_a_round_that_makes_texts_worse_is_refused() -> None:
    random = np.random.default_rng(0)
    before = random.uniform(0.2, 1.0, 60).tolist()
    same = judge_round(measures(audit=of_texts(before, before)))
    worse = judge_round(measures(audit=of_texts(before, [x - 0.005 for x in before])))
    assert same.accepted
    assert len(worse.reasons) == 1
    assert "60 audit images CIDEr-D falls from" in worse.reasons[0]
    noise = random.normal(0, 0.3, 60)
    perhaps = [x - 0.02 + y for x, y in zip(before, noise - noise.mean(), strict=True)]
    assert judge_round(measures(audit=of_texts(before, perhaps))).accepted
    assert not judge_round(measures(audit=of_texts(before, perhaps)), GateOptions(max_text_fall=0.01)).accepted


def test_captions_by_people_guard_texts_but_not_boxes() -> None:
    before = np.linspace(0.4, 0.9, 50)
    captions = audit({}, {}, {}, {"CIDEr-D": (before, before - 0.1)})

    decision = judge_round(measures(audit=captions))

    assert ["On 50 audit images CIDEr-D falls" in reason for reason in decision.reasons] == [True]
    assert any("BIAS IS UNGUARDED" in alarm for alarm in decision.alarms)


def test_changes_of_texts_count_as_shares_of_texts_not_of_regions() -> None:
    decision = judge_round(measures(changes={"rewritten": 30, "text_dropped": 20, "regrounded": 9}, texts=100))

    assert (decision.measures["changed"], decision.measures["texts changed"]) == (0.0, 0.5)
    assert decision.measures["dropped"] == 0.0
    assert "texts changed" not in judge_round(measures()).measures


def balls(*called: str) -> dict[str, list[Detection]]:
    """One ball in each image with these predicted labels; '' for no box."""
    return {f"{n:02}": [Detection(name, BALL, 0.5)] if name else [] for n, name in enumerate(called)}


BALL = (5.0, 5.0, 25.0, 25.0)


def of_balls(before: dict[str, list[Detection]], after: dict[str, list[Detection]]) -> list[str]:
    people = {name: TruthImage(50, 50, [Truth("ball", BALL)]) for name in before}
    reasons = judge_round(measures(audit=audit(people, before, after))).reasons
    return [reason for reason in reasons if "F1" not in reason]


def test_a_round_that_makes_a_label_less_accurate_is_refused() -> None:
    before = balls(*["ball"] * 20, *["ring"] * 20)
    (reason,) = of_balls(before, balls(*["ball"] * 10, *[""] * 10, *["ring"] * 20))
    assert "the accuracy of 'ball' falls from 0.500 to 0.333 (mostly 'ring' instead)" in reason
    assert of_balls(before, balls(*["ball"] * 18, *[""] * 2, *["ring"] * 20)) == []  # by less than .1


def test_a_round_whose_new_labels_are_mostly_wrong_is_refused() -> None:
    unseen = balls(*[""] * 9)
    (reason,) = of_balls(unseen, balls("ball", *["ring"] * 8))
    assert "Of 9 audit objects 'ball' that got a new label in the round, 1 got the right one (mostly 'ring'" in reason
    assert of_balls(unseen, balls("ball", "ball", *["ring"] * 7)) == []  # this may be chance
    assert of_balls(balls(*["ring"] * 8), balls(*["ring"] * 8)) == []  # the labels were the same before


def test_labels_with_few_audit_objects_raise_an_alarm() -> None:
    people = {f"{n}": TruthImage(50, 50, [Truth("moon", (5, 5, 25, 25))]) for n in range(9)}
    boxes = {name: [Detection("moon", (5, 5, 25, 25), 0.5)] for name in people}
    (alarm,) = judge_round(measures(audit=audit(people, boxes, boxes))).alarms
    assert "Fewer than 10 audit objects were found of 1 label (moon)" in alarm


def test_an_object_gets_the_label_of_the_box_with_the_highest_iou() -> None:
    box = (5.0, 5.0, 25.0, 25.0)
    crowd = Truth("moon", (0, 0, 50, 50), crowd=True)
    people = {
        "a": TruthImage(50, 50, [Truth("Moon", box), Truth("kite", (30, 30, 45, 45)), crowd]),
        "b": TruthImage(9, 9),
    }
    boxes = {
        "a": [Detection("moon", (5, 5, 25, 22), 0.9), Detection("ring", box, 0.1), Detection("x", (0, 0, 50, 50), 1)]
    }
    one = named(people, boxes)
    assert one.labels == ("kite", "moon")
    assert one.called == ("ring", "")
    assert (one.seen.tolist(), one.right.tolist()) == ([True, False], [False, False])
    assert one.by_image(one.seen).tolist() == [1, 0]


def test_changed_shares_of_labels_and_captions_raise_alarms() -> None:
    before = {"ball": 50, "ring": 50, "rare": 3, **{f"label {n}": 100 for n in range(8)}}
    after = {"ball": 20, "ring": 80, **{f"label {n}": 100 for n in range(7)}, "label 7": 99}
    decision = judge_round(measures(labels=(before, after), diversity=(0.5, 0.44)))
    assert decision.accepted
    assert (
        "The share of 2 labels among all boxes changed: 'ring' 0.055 to 0.089, 'ball' 0.055 to 0.022."
        in decision.alarms
    )
    assert not any("different labels" in alarm for alarm in decision.alarms)
    assert "Captions become more alike: the share of different word pairs falls from 0.500 to 0.440." in decision.alarms
    fewer = judge_round(measures(labels=(before, {"ball": 5})))
    assert "The number of different labels falls from 11 to 1." in fewer.alarms


def test_measures_that_do_not_exist_are_none() -> None:
    assert judge_round(measures()).measures["diversity before"] is None


@pytest.mark.parametrize(
    "wrong", [{"min_agreement": 2.0}, {"max_added": -1.0}, {"share_factor": 1.0}, {"min_right": -1}]
)
def test_an_impossible_limit_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"'refine.gate.{next(iter(wrong))}' in recipe is"):
        parse_recipe({"dataset": "x", "refine": {"gate": wrong}})
