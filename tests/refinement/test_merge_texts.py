from __future__ import annotations

import math
from typing import Any

from hypothesis import given as over
from hypothesis import settings
from hypothesis import strategies as st

from refinement.merge_texts import GivenText, ProposedText, TextChange, merge_texts
from refinement.options import MergeRules


def given(text: str = "A ball.", likelihood: float | None = 0.5, **more: Any) -> GivenText:
    known = None if likelihood is None else math.log(likelihood)
    return GivenText(**({"id": "a/1", "granularity": "detailed", "text": text, "mean_log_prob": known} | more))


def proposed(text: str = "A red ball.", likelihood: float = 0.7, **more: Any) -> ProposedText:
    return ProposedText(**({"granularity": "detailed", "text": text, "mean_log_prob": math.log(likelihood)} | more))


def rules(changes: list[TextChange]) -> list[tuple[str, str, str | None]]:
    return [(one.rule, one.old, one.new.text if one.new else None) for one in changes]


def test_a_better_text_replaces_a_worse_one() -> None:
    (change,) = merge_texts([given()], [proposed(id="s/4")])
    assert (change.rule, change.old, change.by) == ("rewritten", "a/1", "s/4")
    assert (round(change.value, 6), round(change.threshold, 6)) == (0.7, 0.6)


def test_a_text_must_be_better_by_the_margin() -> None:
    assert merge_texts([given()], [proposed(likelihood=0.59)]) == []
    assert len(merge_texts([given()], [proposed(likelihood=0.51)], MergeRules(text_margin=0.0))) == 1


def test_grounded_phrases_count() -> None:
    fluent = proposed(likelihood=0.9, grounded=0.2)
    assert merge_texts([given(grounded=1.0)], [fluent]) == []
    assert len(merge_texts([given(grounded=0.1)], [fluent])) == 1
    assert len(merge_texts([given(grounded=None)], [fluent])) == 1  # the old text has no parse


def test_a_likely_text_is_added_if_there_is_none() -> None:
    assert rules(merge_texts([], [proposed()])) == [("added", "", "A red ball.")]
    assert merge_texts([], [proposed(likelihood=0.3)]) == []
    assert rules(merge_texts([given()], [proposed(granularity="brief")])) == [("added", "", "A red ball.")]


def test_an_added_text_must_be_grounded() -> None:
    assert merge_texts([], [proposed(likelihood=0.9, grounded=0.3)]) == []
    (change,) = merge_texts([], [proposed(likelihood=0.9, grounded=0.5)])
    assert (change.rule, change.value) == ("added", 0.5)


def test_brief_texts_are_added_up_to_max_briefs_before_any_is_rewritten() -> None:
    one = [given(granularity="brief")]
    news = [proposed("A red ball.", 0.9, granularity="brief"), proposed("One ball.", 0.8, granularity="brief")]
    changes = merge_texts(one, news)
    assert rules(changes) == [("rewritten", "a/1", "One ball."), ("added", "", "A red ball.")]
    assert rules(merge_texts(one, news[:1])) == [("added", "", "A red ball.")]


def test_the_worst_of_too_many_briefs_is_dropped() -> None:
    many = [given(f"{n} balls.", n / 10, id=f"a/{n}", granularity="brief") for n in (1, 2, 3)]
    (change,) = merge_texts(many, [])
    assert (change.rule, change.old) == ("dropped", "a/1")
    assert (round(change.value, 6), round(change.threshold, 6)) == (0.1, 0.2)


def test_several_detailed_texts_all_stay() -> None:
    many = [given(f"{n} balls.", n / 10, id=f"a/{n}") for n in (1, 2, 3)]
    assert merge_texts(many, []) == []
    assert rules(merge_texts(many, [proposed()])) == [("rewritten", "a/1", "A red ball.")]


def test_texts_by_people_and_texts_without_a_score_stay() -> None:
    fixed = [
        given("One.", 0.01, id="a/1", granularity="brief", human=True),
        given("Two.", None, id="a/2", granularity="brief"),
    ]
    assert merge_texts(fixed, [proposed(likelihood=0.99, granularity="brief")]) == []
    assert rules(merge_texts(fixed[:1], [proposed(granularity="brief")])) == [("added", "", "A red ball.")]
    third = given("Three.", 0.9, id="a/3", granularity="brief")
    assert merge_texts([*fixed, third], []) == []


def test_equal_texts_are_no_change_and_are_added_once() -> None:
    assert merge_texts([given("A red ball.", 0.1)], [proposed("a  red ball")]) == []
    twice = [proposed(granularity="brief"), proposed("a red ball", granularity="brief")]
    assert len(merge_texts([], twice)) == 1
    alike = [proposed(grounded=None), proposed(grounded=0.5)]
    assert merge_texts([], alike) == merge_texts([], alike[::-1])


def test_a_text_of_a_region_competes_only_with_texts_of_that_region() -> None:
    changes = merge_texts([given(about="r/1")], [proposed(about="r/2"), proposed("", about="r/1")])
    assert [(one.rule, one.new and one.new.about) for one in changes] == [("added", "r/2")]


likelihoods = st.integers(1, 9).map(lambda tenths: math.log(tenths / 10))
shares = st.none() | st.sampled_from([0.0, 0.5, 1.0])
words = st.sampled_from(["a ball", "a ring", "two balls", "a star", ""])
kinds = st.sampled_from(["brief", "detailed"])
about = st.sampled_from(["", "r/1"])
proposals = st.lists(st.builds(ProposedText, kinds, words, likelihoods, shares, about), max_size=6)


@st.composite
def texts(draw: st.DrawFn) -> list[GivenText]:
    rows = draw(st.lists(st.tuples(kinds, words, st.none() | likelihoods, shares, st.booleans(), about), max_size=6))
    return [GivenText(f"a/{number}", *row) for number, row in enumerate(rows)]


@settings(deadline=None, max_examples=60)
@over(texts(), proposals, st.randoms(use_true_random=False))
def test_for_any_input_texts_by_people_stay_limits_hold_and_order_does_not_matter(
    given: list[GivenText], proposed: list[ProposedText], random: Any
) -> None:
    changes = merge_texts(given, proposed)
    assert merge_texts(random.sample(given, len(given)), random.sample(proposed, len(proposed))) == changes
    fixed = {one.id for one in given if one.human or one.mean_log_prob is None}
    olds = [one.old for one in changes if one.old]
    assert not fixed & set(olds)
    assert len(set(olds)) == len(olds)
    briefs = sum(one.granularity == "brief" and not one.about for one in given)
    new = sum(
        (one.rule == "added") - (one.rule == "dropped")
        for one in changes
        if (one.new or next(some for some in given if some.id == one.old)).granularity == "brief"
        and not (one.new or next(some for some in given if some.id == one.old)).about
    )
    assert briefs + new <= max(2, briefs)
