"""The queries of the sections overview, statistics and health, on rows written by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from engine.reading.dataset import Dataset
from tests.builders import Row
from tests.engine.reading.tables import asked, table, values
from tests.handmade import handmade

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


@pytest.fixture(scope="module")
def hand(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return handmade(tmp_path_factory.mktemp("hand"))


def picture(number: int, **given: Any) -> Row:
    plain = {"image_id": f"i{number}", "kept": True, "width": 100, "height": 100, "bytes": 1000, "n_sources": 1}
    return plain | {"licence": "", "format": "PNG", "split": "train", "rule": ""} | given


# --- overview -----------------------------------------------------------------------------------


def test_the_main_numbers(hand: Dataset) -> None:
    assert values(table(hand, "overview"), "measure", "number") == [
        ("inputs", 8),
        ("images", 5),
        ("images kept", 3),
        ("annotations", 22),
        ("annotations kept", 9),
        ("producers", 8),
        ("rounds of refinement", 0),
        ("releases", 0),
        ("runs", 1),
    ]


def test_outcomes_of_inputs_add_up(hand: Dataset) -> None:
    *outcomes, (name, total, share) = values(table(hand, "inputs_by_outcome"), "outcome", "number", "share")
    assert outcomes == [
        ("kept", 3, 0.375),
        ("dropped by a rule", 1, 0.125),
        ("not usable", 2, 0.25),
        ("duplicate", 1, 0.125),
        ("not read yet", 1, 0.125),
    ]
    assert (name, total, share) == ("all inputs", sum(number for _, number, _ in outcomes), 1.0)


def test_inputs_of_each_source(hand: Dataset) -> None:
    columns = ("source", "inputs", "images", "kept", "kept_share", "duplicates", "not_usable", "not_read")
    assert values(table(hand, "inputs_by_source"), *columns) == [("photos", 8, 5, 3, 0.6, 1, 1, 1)]


def test_the_latest_run_comes_first_with_its_recipe(tmp_path: Path) -> None:
    dataset = handmade(tmp_path)
    recipe = {
        "ingest": {"sources": ["world://?images=3", {"folder": "a"}]},
        "annotate": {'a"b': {"use": "ocr", "size": 3}},
        "filter": ["min_side", {"nms": {"iou": 0.5}}],
    }
    record = {"recipe": json.dumps(recipe), "nodes": [], "ended": "2026-01-02 03:04:05", "seconds": 1.26}
    dataset.storage.put("runs/00002-abcdef/run.json", json.dumps(record).encode())
    runs = table(dataset, "runs_latest")
    assert values(runs, "run", "ended", "seconds") == [
        ("00002-abcdef", "2026-01-02 03:04:05", 1.3),
        ("00001-abcdef", None, 12.5),
    ]
    assert values(table(dataset, "recipe_parts"), "part", "name", "options") == [
        ("source", "world://?images=3", None),
        ("source", "folder", '"a"'),
        ("node", 'a"b', '{"use":"ocr","size":3}'),
        ("rule", "min_side", None),
        ("rule", "nms", '{"iou":0.5}'),
    ]


# --- statistics ---------------------------------------------------------------------------------


def test_annotations_of_an_image_are_counted_with_images_that_have_none(con: DuckDBPyConnection) -> None:
    texts = [{"image_id": "i0", "annotation_id": f"c/{n}"} for n in range(7)]
    tags = [{"image_id": "i1", "annotation_id": "t/0"}]
    images = [{"image_id": f"i{n}"} for n in range(4)]
    rows = asked(con, "annotations_per_image", kept_images=images, kept_texts=texts, kept_tags=tags)
    assert values(rows, "annotation_type", "annotations", "images", "share") == [
        ("texts", "0", 3, 0.75),
        ("tags", "0", 3, 0.75),
        ("tags", "1", 1, 0.25),
        ("texts", "5 to 9", 1, 0.25),
    ]


# --- health -------------------------------------------------------------------------------------


def test_failures_have_examples(hand: Dataset) -> None:
    assert values(table(hand, "failure_examples"), "component", "reason", "file") == [
        ("ingest", "not_an_image", "broken.png"),
        ("yolo", "worker_lost", "crash.png"),
    ]


def test_copies_are_counted_by_the_size_of_their_group(con: DuckDBPyConnection) -> None:
    rows = asked(
        con, "duplicate_groups", images=[picture(n, n_sources=size) for n, size in enumerate((1, 1, 3, 10, 12))]
    )
    assert values(rows, "group_size", "images", "inputs") == [("1", 2, 2), ("3", 1, 3), ("10 or more", 2, 22)]


def test_near_duplicates_are_counted_by_distance(con: DuckDBPyConnection) -> None:
    dropped = {"kept": False, "rule": "near_duplicate", "threshold": 20.0}
    images = [picture(n, **dropped, value=value) for n, value in enumerate((0.0, 1.0, 20.0))] + [picture(9)]
    columns = ("rule", "least_distance", "greatest_distance", "limit", "images", "share")
    assert values(asked(con, "near_duplicates", images=images), *columns) == [
        ("near_duplicate", 0.0, 1.0, 20.0, 2, 0.5),
        ("near_duplicate", 20.0, 20.0, 20.0, 1, 0.25),
    ]


def test_languages_are_those_of_texts(con: DuckDBPyConnection) -> None:
    codes = ("en", "en", "fr")
    texts = [{"image_id": "i", "annotation_id": f"c/{n}", "producer": "c", "kept": n > 0} for n in range(3)]
    plain = {"image_id": "i", "name": "language", "value": 0.9, "producer": "language"}
    scores = [{**plain, "code": code, "parents": [f"c/{n}"]} for n, code in enumerate(codes)]
    rows = asked(con, "languages", texts=texts, image_scores=scores)
    assert values(rows, "producer", "language", "texts", "kept", "share") == [
        ("c", "en", 2, 1, 0.6667),
        ("c", "fr", 1, 1, 0.3333),
    ]


def test_scores_are_counted_in_twenty_bins(con: DuckDBPyConnection) -> None:
    plain = {"image_id": "i", "producer": "q"}
    scores = [{**plain, "name": "sharpness", "value": value} for value in (0.0, 0.9, 1.0, 20.0, float("nan"))]
    scores += [{**plain, "name": "constant", "value": 1.0}, {**plain, "name": "phash", "value": 3.0}]
    rows = asked(con, "score_histograms", kept_image_scores=scores)
    assert values(rows, "name", "bin", "value_from", "value_to", "number", "share") == [
        ("sharpness", 0, 0.0, 1.0, 2, 0.5),
        ("sharpness", 1, 1.0, 2.0, 1, 0.25),
        ("sharpness", 19, 19.0, 20.0, 1, 0.25),
    ]


@pytest.mark.parametrize(
    ("query", "column", "found"),
    [
        ("licences", "licence", [("(none)", 2, 2), ("cc-by", 1, 0)]),
        ("image_formats", "format", [("PNG", 2, 2), ("JPEG", 1, 0)]),
        ("image_sizes", "shorter_side", [("below 64", 1, 1), ("64 to 127", 1, 1), ("4096 or more", 1, 0)]),
        ("image_aspects", "width_by_height", [(0.5, 1, 1), (1.0, 2, 1)]),
        ("splits", "split", [("train", 2, 2), ("audit-test", 1, 0)]),
    ],
)
def test_images_are_counted_by_kind(
    con: DuckDBPyConnection, query: str, column: str, found: list[tuple[Any, ...]]
) -> None:
    other = {"licence": "cc-by", "format": "JPEG", "width": 5000, "height": 5000, "split": "audit-test"}
    images = [picture(0), picture(1, width=32, height=64), picture(2, kept=False, **other)]
    assert values(asked(con, query, images=images), column, "images", "kept") == found
