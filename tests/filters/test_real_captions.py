"""The text rules on real captions: human texts pass and loops do not. docs/filters.md has the exact shares."""

from __future__ import annotations

import pytest

from benchmarks.captions import Kind, kept, kinds, parse_all, tell_languages, verdicts
from filters.verdict import Verdict
from tests.shared_data import shared

OF_EACH = 120


@pytest.fixture(scope="module")
def found() -> dict[str, list[Verdict]]:
    """The verdicts of each rule on each text, by the kind of text."""
    chosen: list[Kind] = [kind for kind in kinds(shared("captions/dev"), OF_EACH) if kind.name != "loops, long"]
    every = [text for kind in chosen for text in kind.texts]
    parse, languages = parse_all(every), tell_languages(every)
    return {kind.name: verdicts(kind, parse, languages) for kind in chosen}


@pytest.mark.parametrize("kind", ["brief, people", "brief, machine", "two sentences, people", "two sentences, machine"])
def test_nearly_all_brief_and_detailed_captions_are_kept(found: dict[str, list[Verdict]], kind: str) -> None:
    assert kept(found[kind])["all"] > 0.95


def test_long_captions_of_models_are_kept_unless_they_repeat_themselves(
    found: dict[str, list[Verdict]],
) -> None:
    shares = kept(found["long, machine"])
    assert 0.85 < shares["all"] < 1
    assert 0.9 < shares["text_repetition.duplicate_5grams"] < 1


def test_no_long_caption_of_a_person_counts_as_repetition_or_another_language(
    found: dict[str, list[Verdict]],
) -> None:
    shares = kept(found["long, people"])
    assert {share for rule, share in shares.items() if rule.startswith(("text_repetition", "text_language"))} == {1.0}


def test_long_texts_by_people_are_kept(found: dict[str, list[Verdict]]) -> None:
    shares = kept(found["long, people"])
    assert shares["too_many_objects"] == shares["text_length.max"] == 1
    assert shares["all"] > 0.95


def test_loops_of_every_kind_are_dropped(found: dict[str, list[Verdict]]) -> None:
    repetition = [verdict for verdict in found["loops, brief"] if verdict.rule.startswith("text_repetition")]
    assert kept(repetition)["all"] == 0


def test_a_lower_cap_on_objects_drops_lists_of_keywords_and_complexity_does_not(
    found: dict[str, list[Verdict]],
) -> None:
    shares = kept(found["keywords"])
    assert shares["min_complexity.object"] == 1
    objects = {kind: next(v for v in found[kind] if v.rule == "too_many_objects") for kind in found}
    assert (objects["keywords"].value <= 8).mean() < 0.8
    assert (objects["brief, people"].value <= 8).mean() > 0.98
