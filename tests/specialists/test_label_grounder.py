"""Chunks grounded by name: number, synonyms, names of several words, and chunks that name no region."""

from __future__ import annotations

import pytest

from engine.schema import Chunk, Complexity, Parse, Region, Sample, Text, text_key
from specialists.label_grounder import LabelGrounder


def region(label: str, n: int, *, score: float | None = 0.8, kind: str = "object", crowd: bool = False) -> Region:
    fields = {"id": f"c/{label}{n}", "score": score, "score_kind": "crowd" if crowd else ""}
    return Region(0, 0, 10 + n, 10, label=label, kind=kind, **fields)  # type: ignore[arg-type]


def grounded(chunk: str, *regions: Region, plural: bool = False, synonyms: bool = True) -> list[str]:
    return LabelGrounder(synonyms=synonyms).ground(image(chunk, *regions, plural=plural))[0].region_ids


def image(chunk: str, *regions: Region, plural: bool = False) -> Sample:
    text = f"Look: {chunk}."
    chunks = [Chunk(6, 6 + len(chunk), chunk.split()[-1].lower(), plural, chunk)]
    parse = Parse(1, 1, 1, [], [], [], [], [], [], Complexity(), Complexity(), chunks)
    written = Text(text, "brief", text_key(text), id="w/0")
    return Sample("0" * 32, 100, 100, texts=[written], regions=list(regions), parse={text_key(text): parse})


CATS = (region("cat", 0), region("cat", 1), region("cat", 2, score=0.9))


def test_a_plural_names_all_regions_of_its_class() -> None:
    assert sorted(grounded("some cats", *CATS, plural=True)) == ["c/cat0", "c/cat1", "c/cat2"]


def test_a_singular_names_the_most_certain_region() -> None:
    assert grounded("the black cat", *CATS) == ["c/cat2"]


def test_among_equal_scores_the_largest_region_is_named() -> None:
    assert grounded("a cat", *CATS[:2]) == ["c/cat1"]


@pytest.mark.parametrize(("chunk", "count"), [("two cats", 2), ("both cats", 2), ("one cat", 1), ("9 cats", 3)])
def test_a_number_names_at_most_that_many_regions(chunk: str, count: int) -> None:
    assert len(grounded(chunk, *CATS, plural=True)) == count


@pytest.mark.parametrize(
    ("chunk", "label"),
    [
        ("a young woman", "person"),
        ("a kitten", "cat"),
        ("the motorbike", "motorcycle"),
        ("A Traffic Light", "traffic light"),
        ("a wooden dining table", "dining table"),
        ("the television", "tv"),
        ("a pair of scissors", "scissors"),
        ("a cell-phone", "cell phone"),
        ("some broccoli", "broccoli"),
        ("two pizza pies", "pizza"),
        ("a red train car", "train"),
        ("an old railroad car", "train"),
        ("a zebra grazing", "zebra"),
        ("The cat stares", "cat"),
        ("a Café-Sign", "cafe sign"),
    ],
)
def test_labels_and_synonyms_may_have_several_words(chunk: str, label: str) -> None:
    assert grounded(chunk, region(label, 0)) == [f"c/{label}0"]


@pytest.mark.parametrize(
    ("chunk", "label"),
    [
        ("a hot dog", "dog"),
        ("a teddy bear", "bear"),
        ("a toy car", "car"),
        ("the cat food", "cat"),
        ("it", "cat"),
        ("a train car", "car"),
        ("a train station", "train"),
        ("standing", "person"),
    ],
)
def test_names_that_only_resemble_a_label_name_no_region(chunk: str, label: str) -> None:
    assert grounded(chunk, region(label, 0)) == []


@pytest.mark.parametrize("word", ["people", "men", "children"])
def test_irregular_plurals_name_all_regions_of_the_class(word: str) -> None:
    assert len(grounded(word, region("person", 0), region("person", 1), plural=True)) == 2


def test_the_parse_decides_the_number_of_an_ambiguous_form() -> None:
    flock = region("sheep", 0), region("sheep", 1)
    assert len(grounded("a sheep", *flock)) == 1
    assert len(grounded("white sheep", *flock, plural=True)) == 2


def test_a_label_has_priority_over_a_synonym_of_another_label() -> None:
    assert grounded("a table", region("dining table", 0), region("table", 1)) == ["c/table1"]


def test_synonyms_can_be_turned_off() -> None:
    assert grounded("a kitten", region("cat", 0), synonyms=False) == []


def test_text_regions_are_never_named() -> None:
    assert grounded("a cat", region("cat", 0, kind="text")) == []


SURE_AND_NOT = (region("cat", 0, score=0.9), region("cat", 1, score=0.7), region("cat", 2, score=0.1))


@pytest.mark.parametrize(
    ("chunk", "plural", "score"),
    [
        ("a cat", False, 0.9),
        ("some cats", True, 0.7),  # two are needed, and two are sure
        ("two cats", True, 0.7),
        ("three cats", True, 0.1),
        ("nine cats", True, 0.1),
        ("it", False, 1.0),
    ],
)
def test_the_score_is_the_lowest_among_the_regions_needed(chunk: str, plural: bool, score: float) -> None:
    assert LabelGrounder().ground(image(chunk, *SURE_AND_NOT, plural=plural))[0].score == score


def test_a_plural_of_one_region_has_its_score() -> None:
    assert LabelGrounder().ground(image("cats", SURE_AND_NOT[1], plural=True))[0].score == 0.7


def test_only_plurals_name_a_crowd() -> None:
    crowd = region("person", 0, score=None, crowd=True)
    people = region("person", 1, score=0.5), region("person", 2, score=0.4)
    assert grounded("a man", crowd, *people) == ["c/person1"]
    assert grounded("two men", crowd, *people, plural=True) == ["c/person1", "c/person2"]
    assert grounded("people", crowd, *people, plural=True) == ["c/person0", "c/person1", "c/person2"]
    assert grounded("a man", crowd) == []


def test_the_span_is_the_chunk_and_the_parents_are_its_text_and_regions() -> None:
    sample = image("two cats", *CATS, plural=True)
    phrase = LabelGrounder().annotate([sample])[0].phrases[0]
    assert sample.texts[0].text[phrase.char_start : phrase.char_end] == "two cats"
    assert (phrase.score, phrase.score_kind) == (0.8, "label_match")
    assert phrase.parents == ["w/0", *phrase.region_ids]


def test_human_regions_are_certain() -> None:
    sample = image("a cat", region("cat", 0, score=None), region("cat", 1, score=0.9))
    phrase = LabelGrounder().ground(sample)[0]
    assert (phrase.region_ids, phrase.score) == (["c/cat0"], 1.0)


def test_a_text_without_a_parse_has_no_phrases() -> None:
    sample = image("a cat", *CATS)
    sample.parse = {}
    assert LabelGrounder().ground(sample) == []
