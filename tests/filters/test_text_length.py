"""text_length: the number of words must be within the bounds of the granularity."""

from __future__ import annotations

import pytest

from filters.text_length import text_length
from tests.builders import parse, parsed, reasons, record, text


@pytest.mark.parametrize(
    ("granularity", "tokens", "reason"),
    [
        ("brief", 1, "text_length.min"),
        ("brief", 2, ""),
        ("brief", 40, ""),
        ("brief", 41, "text_length.max"),
        ("detailed", 41, ""),
        ("more_detailed", 7, "text_length.min"),
    ],
)
def test_bounds_are_inclusive_and_depend_on_the_granularity(granularity: str, tokens: int, reason: str) -> None:
    shard = record(texts=[text("Words.", granularity, id="t")])
    assert reasons(shard, text_length, parse=parse(parsed("Words.", tokens=tokens)))["t"] == reason


def test_a_bound_for_one_granularity_does_not_change_the_others() -> None:
    shard = record(texts=[text("One.", "brief", id="b"), text("One.", "detailed", id="d")])
    found = reasons(shard, (text_length, {"min_tokens": {"brief": 1}}), parse=parse(parsed("One.", tokens=1)))
    assert (found["b"], found["d"]) == ("", "text_length.min")


def test_a_text_that_could_not_be_parsed_is_dropped() -> None:
    shard = record(texts=[text("Words.", id="t"), text("Others.", id="u")])
    failed = parsed("Words.", failures=[{"component": "parse", "reason": "error", "error": "", "attempts": 1}])
    found = reasons(shard, text_length, parse=parse(failed))
    assert (found["t"], found["u"]) == ("text_length.min", "text_length.min")


def test_a_human_text_may_have_any_length() -> None:
    shard = record(texts=[text("Cat.", id="t", score=None)])
    assert reasons(shard, text_length, parse=parse(parsed("Cat.", tokens=1)))["t"] == ""


def test_a_producer_may_have_its_own_bounds() -> None:
    shard = record(texts=[text("Words.", id="a"), text("Words.", id="w", producer="web")])
    parses = parse(parsed("Words.", tokens=8))
    found = reasons(shard, (text_length, {"by_producer": {"web": {"max_tokens": {"brief": 7}}}}), parse=parses)
    assert (found["a"], found["w"]) == ("", "text_length.max")


@pytest.mark.parametrize(
    ("granularity", "tokens", "sentences", "reason"),
    [
        ("more_detailed", 520, 20, ""),
        ("more_detailed", 301, 7, "text_length.max"),  # 43 words a sentence
        ("more_detailed", 280, 1, ""),
        ("detailed", 200, 20, "text_length.max"),
        ("brief", 60, 6, "text_length.max"),
    ],
)
def test_a_more_detailed_text_may_be_long_if_its_sentences_are_short(
    granularity: str, tokens: int, sentences: int, reason: str
) -> None:
    shard = record(texts=[text("Words.", granularity, id="t")])
    parses = parse(parsed("Words.", tokens=tokens, sentences=sentences))
    assert reasons(shard, text_length, parse=parses)["t"] == reason


def test_without_per_sentence_no_text_may_exceed_the_maximum() -> None:
    shard = record(texts=[text("Words.", "more_detailed", id="t")])
    parses = parse(parsed("Words.", tokens=400, sentences=20))
    assert reasons(shard, (text_length, {"per_sentence": 0}), parse=parses)["t"] == "text_length.max"
