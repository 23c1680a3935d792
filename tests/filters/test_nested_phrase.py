"""nested_phrase: if one phrase of a text is inside another, the longer one stays."""

from __future__ import annotations

import pytest

from filters.nested_phrase import nested_phrase
from tests.builders import Row, phrase, reasons, record, row, text


def spans(*found: tuple[int, int], score: float | None = 0.9) -> list[Row]:
    return [phrase("t", start, end, id=f"{start}-{end}", score=score) for start, end in found]


@pytest.mark.parametrize(
    ("phrases", "dropped"),
    [
        ([(0, 10), (2, 6)], ["2-6"]),
        ([(2, 6), (0, 10)], ["2-6"]),
        ([(0, 10), (0, 6), (6, 10)], ["0-6", "6-10"]),
        ([(0, 6), (4, 10)], []),
        ([(0, 4), (5, 9)], []),
        ([(0, 20), (1, 3), (5, 30), (6, 29)], ["1-3", "6-29"]),
    ],
)
def test_a_phrase_inside_another_is_dropped(phrases: list[tuple[int, int]], dropped: list[str]) -> None:
    found = reasons(record(texts=[text(id="t")], phrases=spans(*phrases)), nested_phrase)
    assert {name for name, rule in found.items() if rule} == set(dropped)
    assert {found[name] for name in dropped} <= {"nested_phrase"}


def test_of_two_phrases_over_the_same_words_the_second_is_dropped() -> None:
    twice = [phrase("t", 0, 5, id="first"), phrase("t", 0, 5, id="second")]
    found = reasons(record(texts=[text(id="t")], phrases=twice), nested_phrase)
    assert (found["first"], found["second"]) == ("", "nested_phrase")


def test_phrases_of_two_texts_or_two_images_are_not_compared() -> None:
    first = row("a", texts=[text(id="t"), text(id="u")], phrases=[phrase("t", 0, 9, id="p"), phrase("u", 1, 3, id="q")])
    second = row("b", texts=[text(id="t")], phrases=[phrase("t", 1, 3, id="r")])
    found = reasons(record(first, second), nested_phrase)
    assert (found["p"], found["q"], found["r"]) == ("", "", "")


def test_a_human_phrase_passes() -> None:
    shard = record(texts=[text(id="t")], phrases=[*spans((0, 9)), *spans((1, 3), score=None)])
    assert reasons(shard, nested_phrase)["1-3"] == ""
