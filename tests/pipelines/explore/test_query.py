"""The answer of a query as a table, csv, json and from Python."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.errors import ConfigError
from engine.reading.dataset import Dataset
from engine.reading.sql import named_queries
from pipelines.explore.query import query
from pipelines.explore.query_text import query_lines
from pipelines.recipe import parse_recipe
from pipelines.stages import run as stages
from tests.runs import draw_photos, recipe_data


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("query")
    draw_photos(folder / "photos", 2)
    stages.run(parse_recipe(recipe_data(folder / "set", folder / "photos", {})), stage="ingest", runner="inline")
    return Dataset.open(str(folder / "set"))


def answered(open_dataset: Callable[[], Dataset], sql: str, named: str, form: str) -> str:
    return "\n".join(query_lines(open_dataset, sql, named, form))


def _never() -> Dataset:
    raise AssertionError("no data set is needed")


def test_a_table_is_aligned_with_numbers_to_the_right(dataset: Dataset) -> None:
    text = answered(
        lambda: dataset, "SELECT 'a' AS word, 5 AS n UNION ALL SELECT 'abcdef', 12345 ORDER BY n", "", "table"
    )
    assert text.splitlines() == ["word        n", "------  -----", "a           5", "abcdef  12345"]


def test_long_cells_are_cut_and_line_breaks_are_shown(dataset: Dataset) -> None:
    cell = answered(lambda: dataset, "SELECT 'x' || chr(10) || repeat('y', 200) AS t", "", "table").splitlines()[2]
    assert len(cell) == 60
    assert cell.startswith("x\\nyyy")
    assert cell.endswith("...")


def test_a_table_shows_a_hundred_rows_and_counts_the_others(dataset: Dataset) -> None:
    lines = answered(lambda: dataset, "SELECT * FROM range(250)", "", "table").splitlines()
    assert len(lines) == 2 + 100 + 1
    assert lines[-1].startswith("... 150 more of 250 rows")


def test_an_answer_without_rows_is_marked(dataset: Dataset) -> None:
    assert answered(lambda: dataset, "SELECT 1 AS a WHERE false", "", "table").splitlines()[-1] == "(no rows)"


def test_csv_holds_every_row_and_is_read_back(dataset: Dataset) -> None:
    sql = "SELECT range AS n, 'a,\"b\"' || chr(10) AS t, [1, 2] AS l, NULL AS nothing FROM range(150)"
    rows = list(csv.reader(io.StringIO(answered(lambda: dataset, sql, "", "csv"))))
    assert rows[0] == ["n", "t", "l", "nothing"]
    assert rows[1] == ["0", 'a,"b"\n', "[1, 2]", ""]
    assert len(rows) == 151


def test_json_is_valid_for_all_values(dataset: Dataset) -> None:
    sql = "SELECT 'nan'::DOUBLE AS a, {'x': [1.5, 'inf'::DOUBLE]} AS b, DATE '2024-01-02' AS c, 'é' AS d, true AS e"
    found = json.loads(answered(lambda: dataset, sql, "", "json"), parse_constant=pytest.fail)
    assert found == [{"a": None, "b": {"x": [1.5, None]}, "c": "2024-01-02", "d": "é", "e": True}]


def test_the_list_of_named_queries_needs_no_data_set_and_describes_each() -> None:
    lines = answered(_never, "", "list", "table").splitlines()
    assert [line.split()[0] for line in lines] == list(named_queries())
    assert all(len(line.split()) > 2 for line in lines)


@pytest.mark.parametrize("name", ["producers", "failures_by_reason", "near_duplicates"])
def test_a_named_query_runs(dataset: Dataset, name: str) -> None:
    """tests/engine/reading/test_sql.py runs all of them."""
    assert answered(lambda: dataset, "", name, "csv")


def test_the_views_hold_the_data_set(dataset: Dataset) -> None:
    found = json.loads(answered(lambda: dataset, "SELECT count(*) AS n FROM images", "", "json"))
    assert found == [{"n": 2}]
    assert Path(dataset.url).is_dir()


def test_from_python_the_answer_is_an_arrow_table(dataset: Dataset) -> None:
    assert query(dataset, "SELECT count(*) AS n FROM images").to_pydict() == {"n": [2]}
    assert query(dataset, named="failures_by_reason").num_rows == 0
    with pytest.raises(ConfigError, match="Give either a query or --named, found neither"):
        query(dataset)
