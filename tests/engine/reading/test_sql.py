"""The views of a hand-made data set, and the statements that a query may not contain."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.errors import ConfigError
from engine.reading.dataset import Dataset
from engine.reading.sql import VIEWS, connect, named_queries, named_query, query, run_query, views_in
from engine.schema import SCHEMA_VERSION
from engine.storage.files import Storage
from tests.handmade import handmade


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return handmade(tmp_path_factory.mktemp("hand"))


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """An empty data set."""
    storage = Storage(str(tmp_path_factory.mktemp("empty")))
    storage.put("dataset.json", json.dumps({"schema_version": SCHEMA_VERSION, "shard_size": 3}).encode())
    with connect(Dataset.open(storage.url), measuring=True) as con:
        yield con


def rows(dataset: Dataset, sql: str) -> list[tuple[Any, ...]]:
    return [tuple(row.values()) for row in query(dataset, sql).to_pylist()]


def named(dataset: Dataset, name: str) -> list[tuple[Any, ...]]:
    return rows(dataset, named_query(name))


# --- named queries ---------------------------------------------------------------------------


def test_annotations_per_type(dataset: Dataset) -> None:
    assert named(dataset, "annotations_per_type") == [
        ("regions", 12, 3, 9, 0),
        ("texts", 6, 4, 2, 0),
        ("phrases", 2, 1, 1, 0),
        ("region_texts", 2, 1, 1, 0),
    ]


def test_kept_by_rule(dataset: Dataset) -> None:
    found = named(dataset, "kept_by_rule")
    assert [row for row in found if row[0] == "regions"] == [
        ("regions", "merged", 6, None, None),
        ("regions", "kept", 3, None, None),
        ("regions", "min_score", 2, 0.15, 0.2),
        ("regions", "image_dropped", 1, None, None),
    ]
    assert ("images", "min_side", 1, 16.0, 16.0) in found


def test_failures_by_reason(dataset: Dataset) -> None:
    assert [row[:3] for row in named(dataset, "failures_by_reason")] == [
        ("ingest", "not_an_image", 1),
        ("yolo", "worker_lost", 1),
    ]


def test_producers(dataset: Dataset) -> None:
    assert named(dataset, "producers") == [
        ("ssd", 4, 0, 4, 0, None, None),
        ("objects", 3, 1, 0, 2, 0.92, 0.35),
        ("ocr", 2, 1, 0, 1, 0.95, 0.15),
        ("human", 1, 1, 0, 0, None, None),
        ("outline", 1, 0, 1, 0, None, None),
        ("yolo", 1, 0, 1, 0, None, None),
    ]


def test_labels(dataset: Dataset) -> None:
    assert named(dataset, "labels") == [("cat", 1, 1, 1, 0.92), ("cup", 1, 1, 0, None), ("dog", 0, 0, 1, None)]


def test_sources(dataset: Dataset) -> None:
    assert named(dataset, "sources") == [
        ("photos", "image", 5, 3),
        ("photos", "duplicate", 1, 1),
        ("photos", "pending", 1, 0),
        ("photos", "quarantined", 1, 0),
    ]


def test_texts_by_granularity(dataset: Dataset) -> None:
    assert named(dataset, "texts_by_granularity") == [
        ("brief", "captions", 4, 3, 2.0, 1.0, 1.5),
        ("detailed", "captions", 2, 1, 4.0, 1.0, 1.5),
    ]


def test_duplicates_and_grounded_phrases(dataset: Dataset) -> None:
    ((_, sources, uris, kept),) = named(dataset, "duplicates")
    assert (sources, [Path(uri).name for uri in uris], kept) == (2, ["cat.png", "cat-copy.png"], True)
    assert [row[1:4] for row in named(dataset, "grounded_phrases")] == [("A cat", 1, "detailed")]


def test_every_named_query_states_its_question_and_runs_on_an_empty_data_set(empty: Any) -> None:
    for name, path in named_queries().items():
        first = path.read_text(encoding="utf-8").splitlines()[0]
        assert first.startswith("-- ")
        assert first.endswith("?")
        rows = run_query(empty, named_query(name)).to_pylist()
        assert [row for row in rows if not _published(row)] == []


def _published(row: dict[str, Any]) -> bool:
    """Whether a row has only figures of FLD-5B, none of ours."""
    ours = [value for name, value in row.items() if isinstance(value, int | float) and not name.startswith("fld5b")]
    return any(name.startswith("fld5b") for name in row) and not any(ours)


def test_the_queries_in_the_docs_are_the_ones_that_run() -> None:
    shown = Path(__file__).parents[3] / "docs" / "queries"
    assert sorted(path.stem for path in shown.glob("*.sql")) == list(named_queries())


def test_an_unknown_query_gets_the_nearest_name() -> None:
    with pytest.raises(ConfigError, match="did you mean 'producers'"):
        named_query("producer")


# --- views -----------------------------------------------------------------------------------


def test_an_annotation_shows_its_verdict(dataset: Dataset) -> None:
    sql = "SELECT kept, rule, \"value\", threshold FROM regions WHERE label = 'dog' AND merged_into = ''"
    assert rows(dataset, sql) == [(False, "min_score", 0.2, 0.3)]


def test_an_annotation_that_is_not_judged_has_no_verdict(tmp_path: Path) -> None:
    assert rows(handmade(tmp_path, judged=False), "SELECT DISTINCT kept, rule FROM regions") == [(None, None)]


def test_replaced_candidates_are_in_raw_only(dataset: Dataset) -> None:
    assert rows(dataset, "SELECT count(*), count(DISTINCT annotation_id) FROM regions WHERE producer = 'ssd'") == [
        (4, 2)
    ]
    assert rows(dataset, 'SELECT sum(len(regions)) FROM raw."node ssd"') == [(4,)]


def test_an_image_lists_all_its_sources(dataset: Dataset) -> None:
    sql = "SELECT n_sources, len(sources), width, kept FROM images WHERE uri LIKE '%/cat.png'"
    assert rows(dataset, sql) == [(2, 2, 120, True)]


def test_an_input_has_its_outcome(dataset: Dataset) -> None:
    found = rows(dataset, "SELECT parse_filename(uri), outcome, reason, image_id IS NULL FROM inputs")
    assert {name: rest for name, *rest in found} == {
        "cat.png": ["image", None, False],
        "cat-copy.png": ["duplicate", None, False],
        "cup.png": ["image", None, False],
        "tiny.png": ["image", None, False],
        "page.png": ["image", None, False],
        "crash.png": ["image", None, False],
        "broken.png": ["quarantined", "not_an_image", True],
        "later.png": ["pending", None, True],
    }


def test_a_text_is_parsed_once_and_structs_are_read_with_a_dot(dataset: Dataset) -> None:
    assert rows(dataset, "SELECT count(*), count(DISTINCT text_key), avg(object_complexity.mean) FROM parse") == [
        (4, 4, 1.5)
    ]


def test_each_run_is_a_row(dataset: Dataset) -> None:
    assert rows(dataset, "SELECT run, stage, seconds, nodes[1].node FROM runs") == [
        ("00001-abcdef", "all", 12.5, "ssd")
    ]


@pytest.mark.parametrize("view", VIEWS)
def test_a_view_without_files_has_the_same_columns(dataset: Dataset, empty: Any, view: str) -> None:
    def described(found: Any) -> list[tuple[str, str]]:
        return [(row["column_name"], row["column_type"]) for row in found.to_pylist()]

    assert described(run_query(empty, f"DESCRIBE {view}")) == described(query(dataset, f"DESCRIBE {view}"))
    assert run_query(empty, f"SELECT * FROM {view}").num_rows == 0


@pytest.mark.parametrize("view", [view for view in VIEWS if view not in ("parse", "runs", "rounds")])
def test_a_view_has_image_id_split_and_kept_and_no_reserved_names(dataset: Dataset, view: str) -> None:
    columns = set(query(dataset, f"SELECT * FROM {view}").column_names)
    assert {"image_id", "split", "kept"} <= columns
    assert columns & {"id", "start", "end", "offset"} == set()


def test_a_named_query_gets_the_views_that_it_names(dataset: Dataset) -> None:
    created = "SELECT schema_name || '.' || view_name AS name FROM duckdb_views() WHERE NOT internal"
    with connect(dataset, only=views_in("labels")) as con:
        names = {row["name"] for row in run_query(con, created).to_pylist()}
    assert "main.regions" in names
    assert not names & {"main.texts", "main.inputs", "kept.regions", "raw.probe"}  # raw.probe reads all its files


@pytest.mark.parametrize("name", named_queries())
def test_every_named_query_runs_with_its_views_alone(dataset: Dataset, name: str) -> None:
    statement = named_query(name)
    with connect(dataset, only=views_in(name), measuring="truth" in statement) as con:
        assert run_query(con, statement).column_names


# --- only reading ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1",
        "FROM images",
        "WITH a AS (SELECT 1) SELECT * FROM a",
        "DESCRIBE images",
        "SHOW TABLES",
        "SUMMARIZE images",
        "VALUES (1)",
        "EXPLAIN SELECT 1",
        "/* é */ EXPLAIN ANALYZE (FORMAT json) SELECT 'COPY'",
        "-- why\nSELECT 1;",
    ],
)
def test_a_reading_statement_runs(empty: Any, sql: str) -> None:
    run_query(empty, sql)


@pytest.mark.parametrize(
    "sql",
    [
        "COPY (SELECT 1) TO '{file}'",
        "EXPLAIN ANALYZE COPY (SELECT 1) TO '{file}'",
        "EXPLAIN ANALYZE (FORMAT json) COPY (SELECT 1) TO '{file}'",
        "WITH c AS (COPY (SELECT 1) TO '{file}') SELECT * FROM c",
        "EXPLAIN /* x */ ANALYZE WITH c AS (COPY (SELECT 1) TO '{file}') SELECT * FROM c",
        "SELECT * FROM query('WITH c AS (COPY (SELECT 1) TO ''{file}'') SELECT * FROM c')",
        "EXPORT DATABASE '{file}'",
        "ATTACH '{file}'",
        "CREATE TABLE a (b INT)",
        "INSERT INTO images VALUES (1)",
        "UPDATE images SET split = 'test'",
        "DELETE FROM images",
        "DROP VIEW images",
        "SET threads = 1",
        "PRAGMA enable_profiling",
        "CALL enable_logging('QueryLog', storage := 'file', storage_config := {{'path': '{file}'}})",
        "SELECT * FROM enable_logging('QueryLog', storage := 'file', storage_config := {{'path': '{file}'}})",
        "INSTALL httpfs",
        "LOAD httpfs",
        "BEGIN",
        "SELECT 1; SELECT 2",
        "",
        "SELECT * FROM read_text('{outside}')",
        "SELECT * FROM read_text('{folder}/../{outside_name}')",
    ],
)
def test_any_other_statement_is_refused_and_writes_nothing(dataset: Dataset, sql: str) -> None:
    folder = Path(dataset.url)
    outside = folder.parent / "secret.txt"
    outside.write_text("x")
    file = folder / "written"
    filled = sql.format(file=file, outside=outside, folder=folder, outside_name=outside.name)
    with pytest.raises(ConfigError) as caught:
        query(dataset, filled)
    assert "\n" not in str(caught.value)
    assert not file.exists()


def test_a_wrong_column_gets_duckdbs_message_on_one_line(dataset: Dataset) -> None:
    with pytest.raises(ConfigError, match=r'^The query failed: Referenced column "lable" not found.*"label".*$'):
        query(dataset, "SELECT lable FROM regions")


@pytest.mark.parametrize("name", ["it's | here", "x', lambda y: y || '", "[a*b?]"])
def test_a_data_set_may_lie_in_a_folder_with_any_name(tmp_path: Path, dataset: Dataset, name: str) -> None:
    shutil.copytree(dataset.url, tmp_path / name)
    moved = Dataset.open(str(tmp_path / name))
    for view in ("images", "inputs", "regions", "failures"):
        assert rows(moved, f"SELECT count(*) FROM {view}") == rows(dataset, f"SELECT count(*) FROM {view}")
