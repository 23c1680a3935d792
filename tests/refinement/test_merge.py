from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given as over
from hypothesis import settings
from hypothesis import strategies as st

from engine.errors import ConfigError
from engine.records.boxes import iou
from pipelines.recipe import parse_recipe
from refinement.match import paired
from refinement.merge import SAME_PLACE, Change, Given, Proposed, merge_regions
from refinement.options import MergeRules, held
from tests.refinement.simulated import applied

BOX = (10.0, 10.0, 50.0, 50.0)
NEAR = (14.0, 10.0, 54.0, 50.0)  # IoU with BOX .82
FAR = (60.0, 60.0, 90.0, 90.0)


def region(box: Any = BOX, label: str = "ball", **more: Any) -> Given:
    return Given(**({"id": "a/1", "kind": "object", "label": label, "box": box, "score": 0.6} | more))


def seen(box: Any = BOX, label: str = "ball", **more: Any) -> Proposed:
    return Proposed(**({"label": label, "box": box, "score": 0.5, "label_score": 0.8, "location": 0.7} | more))


def rules(changes: list[Change]) -> list[tuple[str, str]]:
    return [(one.rule, one.old) for one in changes]


def test_a_matched_box_becomes_the_mean_of_both_and_keeps_its_score() -> None:
    (change,) = merge_regions([region()], [seen(NEAR, id="s/3")])
    assert change.new is not None
    assert (change.rule, change.old, change.by) == ("moved", "a/1", "s/3")
    assert change.new.box == (12.0, 10.0, 52.0, 50.0)
    assert (change.new.label, change.new.score) == ("ball", 0.6)
    assert change.value == pytest.approx(38 / 42)
    assert change.threshold == SAME_PLACE


@pytest.mark.parametrize(("weight", "x1"), [(0.0, None), (0.25, 11.0), (1.0, 14.0)])
def test_geometry_weight_is_the_weight_of_the_student(weight: float, x1: float | None) -> None:
    changes = merge_regions([region()], [seen(NEAR)], MergeRules(geometry_weight=weight))
    assert [one.new and one.new.box[0] for one in changes] == ([] if x1 is None else [x1])


def test_a_tiny_move_is_no_change() -> None:
    assert merge_regions([region()], [seen((10.1, 10.0, 50.1, 50.0))]) == []


def test_a_sure_student_relabels_and_moves_in_one_change() -> None:
    (change,) = merge_regions([region(label="ring")], [seen(NEAR, "ball")])
    assert change.new is not None
    assert (change.rule, change.new.label, change.new.box[0]) == ("relabelled", "ball", 12.0)
    assert (change.value, change.threshold, change.new.score) == (0.8, 0.5, 0.8)


@pytest.mark.parametrize(
    ("label", "proposal", "likelihood", "options"),
    [
        ("ring", seen(label_score=0.49), None, {}),  # not sure enough
        ("ring", seen(label_score=0.6), 0.7, {}),  # sure, but finds the other likelier
        ("Ring", seen(label="ring "), None, {}),  # the same label
        ("ring", seen(label=""), None, {}),  # a proposal without one
        ("ring", seen(), None, {"keep_labels": held([["Ball", "ring"]])}),
        ("ring", seen(label_score=1.0), None, {"relabel": 1.01}),
    ],
)
def test_a_label_stays(label: str, proposal: Proposed, likelihood: float | None, options: dict[str, Any]) -> None:
    assert merge_regions([region(label=label, label_likelihood=likelihood)], [proposal], MergeRules(**options)) == []


def test_a_rule_applies_at_its_threshold() -> None:
    assert rules(merge_regions([region(label="ring")], [seen(label_score=0.5)])) == [("relabelled", "a/1")]
    assert rules(merge_regions([], [seen(label_score=0.35)])) == [("added", "")]
    assert merge_regions([region(likelihood=0.35)], []) == []


def test_an_unmatched_box_is_dropped_only_if_the_student_finds_it_unlikely() -> None:
    lost = [region(likelihood=0.3), region(FAR, id="a/2", likelihood=0.9), region((0, 60, 30, 90), id="a/3")]
    (change,) = merge_regions(lost, [])
    assert (change.rule, change.old, change.new, change.value, change.threshold) == ("dropped", "a/1", None, 0.3, 0.35)


def test_an_unmatched_proposal_is_added_if_its_label_is_likely() -> None:
    (change,) = merge_regions([region()], [seen(FAR, "star", id="s/1"), seen((0, 60, 30, 90), label_score=0.3)])
    assert change.new is not None
    assert (change.rule, change.old, change.by, change.new.label, change.new.box) == ("added", "", "s/1", "star", FAR)
    assert change.new.score == 0.8


def test_a_held_label_is_not_added() -> None:
    options = MergeRules(keep_labels=held([["ball", "ring"]]))
    changes = merge_regions([], [seen(FAR, "Ring"), seen(BOX, "star")], options)
    assert [one.new and one.new.label for one in changes] == ["star"]


def test_a_box_by_people_never_changes_and_boxes_on_it_are_dropped() -> None:
    people = region(id="human/1", label="ring", human=True, score=None, likelihood=0.0)
    changes = merge_regions([people, region(id="a/2", box=NEAR, likelihood=0.9)], [seen(label="star")])
    (change,) = changes
    assert (change.rule, change.old, change.new, change.into) == ("duplicate", "a/2", None, "human/1")
    assert (change.value, change.threshold) == (pytest.approx(36 / 44), 0.6)


def test_of_two_duplicates_the_matched_one_stays() -> None:
    changes = merge_regions([region(likelihood=0.99), region(NEAR, id="a/2", likelihood=0.2)], [seen(NEAR)])
    assert [(one.rule, one.old, one.into) for one in changes] == [("duplicate", "a/1", "a/2")]


def test_of_two_unmatched_duplicates_the_likelier_stays() -> None:
    changes = merge_regions([region(likelihood=0.5), region(NEAR, id="a/2", likelihood=0.6)], [])
    assert [(one.rule, one.old, one.into) for one in changes] == [("duplicate", "a/1", "a/2")]


@pytest.mark.parametrize("order", [1, -1])
def test_ties_are_broken_by_id_in_any_order(order: int) -> None:
    twins = [region(id="a/1", likelihood=0.5), region(id="a/2", likelihood=0.5)][::order]
    (change,) = merge_regions(twins, [])
    assert (change.rule, change.old, change.into) == ("duplicate", "a/2", "a/1")
    (named,) = merge_regions(twins[:1], [seen(NEAR, "star"), seen(NEAR, "ring")][::order])
    assert named.new is not None
    assert named.new.label == "ring"
    matched = merge_regions(twins, [seen(NEAR), seen(NEAR, "ring")][::order])
    assert [(one.rule, one.old) for one in matched] == [("moved", "a/1"), ("duplicate", "a/2")]


def test_a_proposal_matches_one_box_only_and_a_second_one_is_not_added_over_it() -> None:
    changes = merge_regions([region()], [seen(NEAR), seen((12.0, 10.0, 52.0, 50.0))])
    assert rules(changes) == [("moved", "a/1")]
    assert changes[0].new is not None
    assert changes[0].new.box[0] == 11.0


def test_printed_text_is_not_matched_with_objects() -> None:
    changes = merge_regions([region(kind="text", label="")], [seen(NEAR)])
    assert rules(changes) == [("added", "")]
    assert rules(merge_regions([region(kind="text", label="")], [seen(NEAR, "", kind="text")])) == [("moved", "a/1")]


def test_a_mask_stays_only_if_its_box_stays() -> None:
    masked = region(has_mask=True)
    assert merge_regions([masked], [seen(NEAR)]) == []  # the mean overlaps the old place by .905
    (renamed,) = merge_regions([masked], [seen(NEAR, "ring")])
    (moved,) = merge_regions([masked], [seen((18.0, 10.0, 58.0, 50.0))])
    assert renamed.new is not None
    assert moved.new is not None
    assert (renamed.new.box, renamed.new.keeps_shape) == (BOX, True)
    assert (moved.new.box[0], moved.new.keeps_shape) == (14.0, False)


@pytest.mark.parametrize("box", [(5, 5, 5, 9), (9, 5, 5, 9), (math.nan, 1, 4, 4), (0, 0, math.inf, 4)])
def test_a_proposal_without_area_is_ignored(box: Any) -> None:
    assert merge_regions([region()], [seen(box)]) == []


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"match_iou": 0.0}, "'refine.merge.match_iou' in recipe is 0.0: input should be greater than 0"),
        ({"geometry_weight": 1.5}, "less than or equal to 1"),
        ({"drop": -0.1}, "merge.drop' in recipe is -0.1"),
        ({"add": math.nan}, "merge.add' in recipe is nan"),
        ({"nms": 0.3}, "merge.nms' in recipe is 0.3: expected at least match_iou, 0.4"),
        ({"max_briefs": 0}, "greater than or equal to 1"),
    ],
)
def test_an_impossible_option_is_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_recipe({"dataset": "x", "refine": {"merge": wrong}})


@pytest.mark.parametrize("pair", [["ball"], ["ball", "Ball"], ["a", "b", "c"]])
def test_a_held_pair_must_be_two_labels(pair: list[str]) -> None:
    with pytest.raises(ConfigError, match="pairs of two labels"):
        held([pair])


# --- for any input -------------------------------------------------------------------

share = st.integers(0, 10).map(lambda tenths: tenths / 10)
corner = st.integers(0, 12).map(float)
boxes = st.builds(lambda x, y, w, h: (x, y, x + w, y + h), corner, corner, *(st.integers(1, 8),) * 2)
names = st.sampled_from(["ball", "ring", "star"])
kinds = st.sampled_from(["object", "object", "object", "text"])
proposals = st.lists(st.builds(Proposed, names, boxes, share, share, share, kinds), max_size=7)


@st.composite
def regions(draw: st.DrawFn) -> list[Given]:
    answer = []
    for number in range(draw(st.integers(0, 7))):
        human = draw(st.booleans())
        score = None if human else draw(share)
        likelihoods = draw(st.tuples(share, share) | st.just((None, None)))
        answer.append(
            Given(f"a/{number}", draw(kinds), draw(names), draw(boxes), score, human, *likelihoods, draw(st.booleans()))
        )
    return answer


options = st.builds(
    MergeRules,
    match_iou=st.sampled_from([0.3, 0.4]),
    geometry_weight=share,
    relabel=share,
    add=share,
    drop=share,
    nms=st.sampled_from([0.4, 0.6, 1.0]),
    keep_labels=st.sampled_from([frozenset(), held([["ball", "ring"]])]),
)


def repeated(given: list[Given]) -> list[Proposed]:
    """A student that repeats the given boxes with certainty."""
    return [Proposed(one.label, one.box, 1.0, 1.0, 1.0, one.kind) for one in given]


@settings(deadline=None, max_examples=60)
@over(regions(), proposals, options)
def test_regions_by_people_never_change(given: list[Given], proposed: list[Proposed], options: MergeRules) -> None:
    people = {one.id for one in given if one.human}
    assert not people & {one.old for one in merge_regions(given, proposed, options)}


@settings(deadline=None, max_examples=60)
@over(regions(), proposals, options, st.randoms(use_true_random=False))
def test_the_order_of_the_input_does_not_matter(
    given: list[Given], proposed: list[Proposed], options: MergeRules, random: Any
) -> None:
    expected = merge_regions(given, proposed, options)
    shuffled = random.sample(given, len(given)), random.sample(proposed, len(proposed))
    assert merge_regions(*shuffled, options) == expected


@settings(deadline=None, max_examples=60)
@over(regions(), proposals, options)
def test_every_new_box_has_an_area_and_lies_within_the_hull_of_the_input(
    given: list[Given], proposed: list[Proposed], options: MergeRules
) -> None:
    changes = merge_regions(given, proposed, options)
    for one in changes:
        if one.new is not None:
            x1, y1, x2, y2 = one.new.box
            assert 0 <= x1 < x2 <= 20
            assert 0 <= y1 < y2 <= 20
    assert len({one.old for one in changes if one.old}) == sum(one.old != "" for one in changes)


@settings(deadline=None, max_examples=60)
@over(regions(), proposals, options)
def test_the_region_behind_a_duplicate_stays_and_only_boxes_by_people_overlap(
    given: list[Given], proposed: list[Proposed], options: MergeRules
) -> None:
    changes = merge_regions(given, proposed, options)
    after = applied(given, changes)
    assert {one.into for one in changes if one.rule == "duplicate"} <= {one.id for one in after}
    for number, one in enumerate(after):
        for other in after[:number]:
            if one.kind == other.kind and not (one.human and other.human):
                assert iou(one.box, other.box) < options.nms


@settings(deadline=None, max_examples=60)
@over(regions(), proposals, options)
def test_a_student_that_repeats_the_result_changes_nothing(
    given: list[Given], proposed: list[Proposed], options: MergeRules
) -> None:
    after = applied(given, merge_regions(given, proposed, options))
    assert merge_regions(after, repeated(after), options) == []


@settings(deadline=None, max_examples=60)
@over(st.lists(boxes, max_size=7), st.lists(boxes, max_size=7), st.sampled_from([0.3, 0.5]))
def test_matching_is_one_to_one_and_complete(first: list[Any], second: list[Any], least: float) -> None:
    pairs = paired(first, second, (["a"] * len(first), ["a"] * len(second)), iou=least)
    assert len(set(pairs.values())) == len(pairs)
    for row, one in enumerate(first):
        for column, other in enumerate(second):
            if row not in pairs and column not in pairs.values():
                assert iou(one, other) < least
