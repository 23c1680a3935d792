"""What phrases ground, and where boxes are, on a few texts and boxes computed by hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pytest

from tests.builders import Row
from tests.engine.reading.tables import asked, values

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

CAPTION = "It shows a cat and a dog on a mat."
CHUNKS = {"It": "It", "a cat": "cat", "a dog": "dog", "a mat": "mat"}


def written(name: str, text: str = CAPTION, granularity: str = "brief", producer: str = "captions") -> Row:
    row = {"image_id": "i", "annotation_id": name, "text": text, "text_key": text}
    return row | {"granularity": granularity, "producer": producer}


def parse() -> Row:
    chunks = [
        {"char_start": CAPTION.index(words), "char_end": CAPTION.index(words) + len(words), "head": head}
        | {"plural": False, "text": words}
        for words, head in CHUNKS.items()
    ]
    return {"text_key": CAPTION, "chunks": chunks, "objects": ["cat", "dog", "mat"], "failures": []}


def links(text: str, phrase: str, words: str, *regions: str) -> list[Row]:
    """The rows of kept.triplets of a phrase that has these words of the caption."""
    start = CAPTION.index(words)
    row = {"image_id": "i", "text_id": text, "phrase_id": phrase, "char_start": start, "char_end": start + len(words)}
    return [row | {"region_id": region} for region in regions]


def box(name: str, edges: Sequence[float], label: str = "cat", kind: str = "object") -> Row:
    row = {"image_id": "i", "annotation_id": name, "producer": name.partition("/")[0], "kind": kind, "label": label}
    return row | dict(zip(("x1", "y1", "x2", "y2"), map(float, edges), strict=True))


IMAGE = {"image_id": "i", "width": 100, "height": 100}


# --- grounding ----------------------------------------------------------------------------------------


def test_nouns_and_chunks_in_phrases_are_counted(con: DuckDBPyConnection) -> None:
    grounded = [*links("t/0", "p/0", "a cat", "r/0", "r/1"), *links("t/0", "p/1", "a cat and a dog", "r/0")]
    texts = [written("t/0"), written("t/1", "A page.", producer="human")]
    rows = asked(con, "grounding_coverage", kept_texts=texts, kept_triplets=grounded, parse=[parse()])
    columns = ("producer", "texts", "without_phrase", "phrases", "phrases_each", "regions_each", "chunks", "nouns")
    assert values(rows, *columns) == [
        ("all", 2, 1, 2, 1.0, 1.5, 4, 3),
        ("captions", 1, 0, 2, 2.0, 1.5, 4, 3),
        ("human", 1, 1, 0, 0.0, None, None, None),
    ]
    # of It, cat, dog and mat, phrases have cat and dog
    assert values(rows, "grounded_chunks", "grounded_nouns") == [(0.5, 0.667), (0.5, 0.667), (None, None)]


def test_granularities_are_in_their_order(con: DuckDBPyConnection) -> None:
    texts = [
        written(f"t/{n}", granularity=name) for n, name in enumerate(("more_detailed", "detailed", "brief", "own"))
    ]
    rows = asked(con, "grounding_coverage", kept_texts=texts)
    assert [row["granularity"] for row in rows if row["producer"] == "all"] == [
        "brief",
        "detailed",
        "more_detailed",
        "own",
    ]
    assert values(rows, "chunks", "grounded_nouns") == [(None, None)] * 8


def test_phrases_of_a_text_and_regions_of_a_phrase(con: DuckDBPyConnection) -> None:
    many = [link for n in range(25) for link in links("t/2", f"p/m{n:02}", "a dog", "r/0")]
    grounded = [*links("t/0", "p/0", "a cat", *(f"r/{n}" for n in range(12))), *links("t/0", "p/1", "a dog", "r/0")]
    views = {"kept_texts": [written(f"t/{n}") for n in range(4)], "kept_triplets": [*grounded, *many]}
    rows = asked(con, "phrases_per_text", **views)
    assert values(rows, "phrases", "texts", "share") == [(0, 2, 0.5), (2, 1, 0.25), (20, 1, 0.25)]
    rows = asked(con, "regions_per_phrase")
    assert values(rows, "regions", "phrases", "share") == [(1, 26, 0.963), (10, 1, 0.037)]


def test_a_region_is_mentioned_once_however_many_phrases_name_it(con: DuckDBPyConnection) -> None:
    boxes = [
        box("a/0", (0, 0, 9, 9)),
        box("a/1", (0, 0, 9, 9), "dog"),
        box("b/0", (0, 0, 9, 9)),
        box("ocr/0", (0, 0, 9, 9), "", "text"),
    ]
    grounded = [*links("t/0", "p/0", "a cat", "a/0"), *links("t/1", "p/1", "a cat", "a/0")]
    rows = asked(con, "regions_mentioned", kept_regions=boxes, kept_triplets=grounded)
    assert values(rows, "kind", "producer", "label", "regions", "mentioned", "share") == [
        ("object", "a", "all", 2, 1, 0.5),
        ("object", "b", "all", 1, 0, 0.0),
        ("text", "ocr", "all", 1, 0, 0.0),
        ("object", "all", "cat", 2, 1, 0.5),
        ("object", "all", "dog", 1, 0, 0.0),
    ]


# --- where boxes are ------------------------------------------------------------------------------------


def test_sizes_and_shapes_by_kind_and_producer(con: DuckDBPyConnection) -> None:
    boxes = [box("a/0", (0, 0, 100, 25)), box("a/1", (0, 0, 20, 20)), box("ocr/0", (0, 0, 80, 5), "", "text")]
    empty = box("a/2", (5, 5, 5, 5))
    rows = asked(con, "spatial_area_by_producer", kept_regions=[*boxes, empty], kept_images=[IMAGE])
    assert values(rows, "kind", "producer", "side_from", "boxes", "share") == [
        ("object", "a", 0.0, 1, 0.3333),
        ("object", "a", 0.2, 1, 0.3333),
        ("object", "a", 0.5, 1, 0.3333),
        ("text", "ocr", 0.2, 1, 1.0),
    ]
    rows = asked(con, "spatial_aspect_by_producer")
    assert values(rows, "producer", "log2_from", "boxes", "share") == [
        ("a", 0.0, 1, 0.5),
        ("a", 2.0, 1, 0.5),
        ("ocr", 3.5, 1, 1.0),
    ]


def test_centres_of_types_are_in_one_cell_each(con: DuckDBPyConnection) -> None:
    boxes = [box("a/0", (0, 0, 20, 40)), box("a/1", (90, 90, 110, 110))]  # the second one's centre is on the edge
    twice = [*links("t/0", "p/0", "a cat", "a/0"), *links("t/1", "p/1", "a cat", "a/0")]
    rows = asked(con, "spatial_centre_by_type", kept_regions=boxes, kept_images=[IMAGE], kept_triplets=twice)
    assert len(rows) == 200
    assert values([row for row in rows if row["boxes"]], "type", "x", "y", "boxes", "share") == [
        ("region-text", 1, 2, 1, 0.5),
        ("region-text", 9, 9, 1, 0.5),
        ("text-phrase-region", 1, 2, 2, 1.0),
    ]


def test_centres_of_the_four_largest_producers(con: DuckDBPyConnection) -> None:
    boxes = [box(f"p{n}/{k}", (0, 0, 20, 40)) for n in range(5) for k in range(n + 1)]
    rows = asked(con, "spatial_centre_by_producer", kept_regions=boxes, kept_images=[IMAGE])
    assert len(rows) == 400
    found = values([row for row in rows if row["boxes"]], "producer", "x", "y", "boxes", "share")
    assert found == [(f"p{n}", 1, 2, n + 1, 1.0) for n in (4, 3, 2, 1)]


@pytest.mark.parametrize("name", ["spatial_centre_by_type", "spatial_centre_by_producer", "regions_mentioned"])
def test_a_data_set_without_boxes_has_no_rows(con: DuckDBPyConnection, name: str) -> None:
    assert asked(con, name, kept_images=[IMAGE]) == []
