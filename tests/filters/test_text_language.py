"""text_language: judges a text by the code and the confidence of its language score."""

from __future__ import annotations

from typing import Any

import pytest

from filters.text_language import text_language
from tests.builders import Row, image_score, reasons, record, row, text

CHAT = "Un chat dort sur un vieux canapé."
CAT = "A cat sleeps on an old sofa."


def language(of: str, code: str = "en", value: float = 0.9, **given: Any) -> Row:
    return image_score("language", value, code=code, parents=[of], **given)


def judged(words: str, *scores: Row, granularity: str = "brief", producer: str = "model", **options: Any) -> str:
    shard = record(texts=[text(words, granularity, id="t", producer=producer)], image_scores=list(scores))
    return reasons(shard, (text_language, options))["t"]


def test_a_text_in_another_language_is_dropped() -> None:
    assert judged(CHAT, language("t", "fr", 0.99)) == "text_language.other"
    assert judged(CHAT, language("t", "fr", 0.99), keep=["en", "fr"]) == ""


@pytest.mark.parametrize(
    ("granularity", "value", "reason"),
    [
        ("brief", 0.3, ""),
        ("brief", 0.29, "text_language.floor"),
        ("detailed", 0.5, ""),
        ("detailed", 0.49, "text_language.floor"),
        ("more_detailed", 0.49, "text_language.floor"),
    ],
)
def test_a_text_with_an_uncertain_language_is_dropped(granularity: str, value: float, reason: str) -> None:
    assert judged(CAT, language("t", value=value), granularity=granularity) == reason


def test_a_producer_may_have_its_own_floor() -> None:
    assert judged(CAT, language("t", value=0.7), producer="web", by_producer={"web": 0.8}) == "text_language.floor"
    assert judged(CAT, language("t", value=0.7), by_producer={"web": 0.8}) == ""


def test_a_short_text_passes() -> None:
    assert judged("Rote Autos", language("t", "de", 0.99)) == ""
    assert judged("Rote Autos", language("t", "de", 0.99), min_words=2) == "text_language.other"


def test_a_text_without_a_score_passes_unless_drop_unmeasured() -> None:
    assert judged(CAT) == ""
    assert judged(CAT, drop_unmeasured=True) == "text_language.unmeasured"
    assert judged(CAT, language("another"), image_score("sharpness", parents=["t"]), drop_unmeasured=True) == (
        "text_language.unmeasured"
    )


def test_of_several_scores_of_a_text_the_highest_counts() -> None:
    assert judged(CHAT, language("t", "fr", 0.6), language("t", "en", 0.5)) == "text_language.other"
    assert judged(CHAT, language("t", "en", 0.6), language("t", "fr", 0.5)) == ""


def test_a_score_counts_only_for_a_text_of_its_own_image() -> None:
    first = row("a", texts=[text(CAT, id="t")], image_scores=[language("t")])
    second = row("b", texts=[text(CHAT, id="t")], image_scores=[language("t", "fr")])
    found = reasons(record(first, second), text_language)
    assert found["t"] == "text_language.other"  # the reason of b, which was judged last
    assert reasons(record(second, first), text_language)["t"] == ""


def test_texts_are_found_where_an_earlier_rule_has_dropped_some() -> None:
    from filters.text_length import text_length
    from tests.builders import parse, parsed

    parses = parse(parsed("One", tokens=1), parsed(CAT), parsed(CHAT))
    texts = [text("One", id="gone"), text(CAT, id="t"), text(CHAT, id="u")]
    shard = record(texts=texts, image_scores=[language("u", "fr"), language("gone", "fr"), language("t")])
    found = reasons(shard, text_length, text_language, parse=parses)
    assert (found["gone"], found["t"], found["u"]) == ("text_length.min", "", "text_language.other")


def test_a_human_text_may_have_any_language() -> None:
    shard = record(texts=[text(CHAT, id="t", score=None)], image_scores=[language("t", "fr")])
    assert reasons(shard, text_language)["t"] == ""
