"""phrase_blacklist: compares whole phrases, without case and determiner."""

from __future__ import annotations

from typing import Any

import pytest

from filters.phrase_blacklist import phrase_blacklist
from tests.builders import phrase, reasons, record, text


def judged(phrase_words: str, **options: Any) -> str:
    """The verdict on a phrase in the middle of a text, behind letters of more than one byte."""
    before = "Çà et là: "
    phrases = [phrase("t", len(before), len(before + phrase_words), id="p")]
    shard = record(texts=[text(before + phrase_words + " über allem.", id="t")], phrases=phrases)
    return reasons(shard, (phrase_blacklist, options))["p"]


@pytest.mark.parametrize("words", ["it", "It", "THE IMAGE", "image", "a  group", "the group", "each other", "Freedom"])
def test_a_phrase_on_the_list_is_dropped(words: str) -> None:
    assert judged(words) == "phrase_blacklist"


@pytest.mark.parametrize("words", ["a cat", "a group of people", "the image frame", "item", "every other cat"])
def test_a_phrase_that_contains_a_listed_word_is_kept(words: str) -> None:
    assert judged(words) == ""


def test_further_words_can_be_listed() -> None:
    assert judged("the Background", extra=["background"]) == "phrase_blacklist"
    assert judged("it", words=["they"]) == ""


def test_a_human_phrase_passes() -> None:
    shard = record(texts=[text("It.", id="t")], phrases=[phrase("t", 0, 2, id="p", score=None)])
    assert reasons(shard, phrase_blacklist)["p"] == ""
