"""text_repetition: each check drops its kind of loop; and the speed of the rule."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.records.columns import Shard, Texts
from filters.text_repetition import repetition, text_repetition
from tests.builders import images, reasons, record, text

MAT = "A cat on a mat on a mat on a mat."
MEN = "A man in a hat sits by a man in a coat, and a man with no hat looks at two birds over the old grey stone wall."
PLACES = "The photo shows a bus at the top right, people at the top and two cars at the top left. It also shows a bag."
PARTS = ("top_2gram", "top_3gram", "duplicate_5grams", "duplicate_sentences")


def shares(*lines: str) -> list[list[float]]:
    shard = record(texts=[text(words) for words in lines])
    return np.round(repetition(Texts(Shard(shard, images(shard)))), 3).T.tolist()


@pytest.mark.parametrize(
    ("words", "granularity", "reason"),
    [
        (MAT, "brief", "text_repetition.top_2gram"),
        ("Red car, red car, red car, red bus, tall tree, small dog.", "brief", "text_repetition.top_2gram"),
        (
            "A cup of tea stands by a cup of tea near a cup of tea on one old round wooden table under four lamps.",
            "brief",
            "text_repetition.top_3gram",
        ),
        (
            "A sign in front of a tall white building, in front of a tall white building.",
            "brief",
            "text_repetition.duplicate_5grams",
        ),
        ("A dog runs. The sun is low. A dog runs. A tree stands.", "brief", "text_repetition.duplicate_sentences"),
        ("A person standing next to a horse next to a building.", "brief", ""),
        ("A dog chases a ball across the wet grass.", "brief", ""),
        (MEN, "brief", ""),
        (MEN, "more_detailed", ""),
        (MAT, "more_detailed", "text_repetition.top_2gram"),
        ("A tall man is beside a tall man in a red hat and a tall man sits.", "detailed", "text_repetition.top_2gram"),
        (PLACES, "detailed", ""),
    ],
)
def test_each_kind_of_loop_is_dropped_by_its_own_check(words: str, granularity: str, reason: str) -> None:
    assert reasons(record(texts=[text(words, granularity, id="t")]), text_repetition)["t"] == reason


def test_overlapping_occurrences_of_an_ngram_count_each_word_once() -> None:
    assert shares(MAT) == [[round(6 / 11, 3), round(9 / 11, 3), round(6 / 11, 3), 0]]
    assert shares("red red red red red red") == [[1, 1, round(5 / 6, 3), 0]]


def test_case_and_punctuation_make_no_difference() -> None:
    assert shares("A MAT, a mat: a Mat.") == shares("a mat a mat a mat") == [[1, 0, 0, 0]]


def test_an_ngram_must_occur_three_times_and_within_one_text() -> None:
    assert shares("a cat a cat", "a cat", "", "...", "日本") == [[0, 0, 0, 0]] * 5


def test_the_bound_is_inclusive() -> None:
    shard = record(texts=[text("a b a b a b c d e f g h", id="t")])
    assert reasons(shard, (text_repetition, {"top_2gram": 0.5}))["t"] == ""
    assert reasons(shard, (text_repetition, {"top_2gram": 0.49}))["t"] == "text_repetition.top_2gram"


@pytest.mark.parametrize("part", PARTS)
def test_each_limit_may_be_lower_for_one_producer(part: str) -> None:
    words = "A cat sat on a mat. A dog. A cat sat on a mat. A cat sat on a mat. Two birds flew over seven old houses."
    shard = record(texts=[text(words, id="a"), text(words, id="b", producer="captioner")])
    open_ = dict.fromkeys(PARTS, 1.0)
    found = reasons(shard, (text_repetition, open_ | {"by_producer": {"captioner": {part: {"brief": 0.05}}}}))
    assert (found["a"], found["b"]) == ("", f"text_repetition.{part}")


def test_a_human_text_may_repeat_itself() -> None:
    assert reasons(record(texts=[text(MAT, id="t", score=None)]), text_repetition)["t"] == ""


def naive(words: list[str], n: int) -> tuple[float, float]:
    """(share of the top n-gram, share of n-grams that came before), word by word."""
    places: dict[tuple[str, ...], list[int]] = {}
    for k in range(len(words) - n + 1):
        places.setdefault(tuple(words[k : k + n]), []).append(k)
    longer = [tuple(words[k : k + n + 1]) for k in range(len(words) - n)]
    twice = {k for k, gram in enumerate(longer) if longer.count(gram) > 1}
    looped = [[k for k in found if {k, k - 1} & twice] for found in places.values()]
    covers = [{k + m for k in found for m in range(n)} for found in looped if len(found) > 2]
    again = {k + m for found in places.values() for k in found[1:] for m in range(n)}
    return max(map(len, covers), default=0) / max(len(words), 1), len(again) / max(len(words), 1)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.lists(st.sampled_from("abc"), max_size=14), min_size=1, max_size=4))
def test_the_shares_equal_those_of_a_naive_count(lines: list[list[str]]) -> None:
    expected = [[naive(words, 2)[0], naive(words, 3)[0], naive(words, 5)[1], 0] for words in lines]
    assert shares(*map(" ".join, lines)) == np.round(expected, 3).tolist()


def test_texts_beyond_the_first_block_have_the_same_shares(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [MAT, "A cat sleeps.", "the the the", "A man. A man.", MAT]
    whole = shares(*lines)
    monkeypatch.setattr("filters.text_repetition.BLOCK", 2)
    assert shares(*lines) == whole


def test_ten_thousand_texts_of_a_hundred_words_take_no_more_than_seconds() -> None:
    random = np.random.default_rng(0)
    words = np.array([f"word{k}" for k in range(3000)])
    lines = [" ".join(words[random.zipf(1.3, 100) % 3000]) for _ in range(10_000)]
    shard = record(texts=[text(line, "more_detailed") for line in lines])
    texts = Texts(Shard(shard, images(shard)))
    start = time.process_time()
    repetition(texts)
    assert time.process_time() - start < 5  # it takes .3 on a quiet machine
