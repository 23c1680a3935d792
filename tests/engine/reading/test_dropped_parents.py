"""Which kept texts were made from a dropped annotation, on a few rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.builders import Row
from tests.engine.reading.tables import asked, values

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

IMAGE = {"image_id": "i", "kept": True}
FOUND = ("kind", "annotation_id", "words", "parent", "dropped_by")


def row(name: str, *, kept: bool = True, **given: object) -> Row:
    """A row of a view of annotations. `name`: "<producer>/<number>"."""
    rule = "" if kept else "min_score"
    named = {"image_id": "i", "annotation_id": name, "producer": name.partition("/")[0], "kept": kept, "rule": rule}
    return named | {"score": 0.9, "parents": [], "merged_into": ""} | given


def annotation(name: str, *, kept: bool = True, **given: object) -> Row:
    made = row(name, kept=kept, **given)
    del made["merged_into"]
    return made


REGIONS = [
    row("a/0"),
    row("a/1", kept=False),
    row("a/2", kept=False, rule="merged", merged_into="a/0"),
    row("a/3", kept=False, rule="merged", merged_into="a/4"),
    row("a/4", kept=False, rule="merged", merged_into="a/1"),
]
TEXTS = [annotation(f"t/{n}", text=f"text {n}", parents=[f"a/{n}"]) for n in range(5)]


def test_a_text_made_from_a_dropped_region_is_listed(con: DuckDBPyConnection) -> None:
    rows = asked(con, "texts_with_dropped_parents", images=[IMAGE], regions=REGIONS, texts=TEXTS[:3])
    assert values(rows, *FOUND) == [("text", "t/1", "text 1", "a/1", "min_score")]


def test_a_merged_region_counts_as_the_last_one_it_was_merged_into(con: DuckDBPyConnection) -> None:
    rows = asked(con, "texts_with_dropped_parents", images=[IMAGE], regions=REGIONS, texts=TEXTS[3:])
    assert values(rows, *FOUND[1:]) == [("t/3", "text 3", "a/3", "merged"), ("t/4", "text 4", "a/4", "merged")]


def test_a_dropped_text_and_a_text_of_a_dropped_image_are_not_listed(con: DuckDBPyConnection) -> None:
    text = {"text": "text 1", "parents": ["a/1"]}
    dropped = [annotation("t/1", kept=False, **text), annotation("t/2", **text, image_id="dropped")]
    images = [IMAGE, {"image_id": "dropped", "kept": False}]
    regions = [*REGIONS, row("a/1", kept=False, image_id="dropped")]
    assert asked(con, "texts_with_dropped_parents", images=images, regions=regions, texts=dropped) == []


def test_texts_of_people_and_texts_with_their_phrases_are_not_listed(con: DuckDBPyConnection) -> None:
    texts = [TEXTS[1], annotation("human/0", text="theirs", parents=["a/1"], score=None)]
    phrases = [annotation("human/1", text_id="t/1", score=None)]
    assert asked(con, "texts_with_dropped_parents", images=[IMAGE], regions=REGIONS, texts=texts, phrases=phrases) == []


def test_a_phrase_is_listed_with_its_words(con: DuckDBPyConnection) -> None:
    phrase = annotation("p/0", text_id="t/0", char_start=5, char_end=6, parents=["a/1"])
    rows = asked(con, "texts_with_dropped_parents", images=[IMAGE], regions=REGIONS, texts=TEXTS[:1], phrases=[phrase])
    assert values(rows, *FOUND) == [("phrase", "p/0", "0", "a/1", "min_score")]
