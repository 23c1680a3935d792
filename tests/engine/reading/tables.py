"""Named queries as rows, for tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from engine.reading.dataset import Dataset
from engine.reading.sql import named_query, query, run_query
from tests.builders import Row

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

# Those that the paper prints as tables, too.
PAPER_TABLES = (
    "annotation_statistics",
    "semantic_coverage",
    "spatial_area",
    "spatial_aspect",
    "spatial_centre",
    "nouns_without_region",
    "regions_without_text",
    "quality",
)


def table(dataset: Dataset, name: str, of: str = "") -> list[Row]:
    rows: list[Row] = query(dataset, named_query(name), of=of).to_pylist()
    return rows


def values(rows: Sequence[Row], *columns: str) -> list[tuple[Any, ...]]:
    return [tuple(row[column] for column in columns) for row in rows]


def asked(con: DuckDBPyConnection, name: str, **given: Sequence[Row]) -> list[Row]:
    """The rows of a named query if the views have these rows: asked(con, "labels", regions=[{...}]).

    `con`: a connection to a data set that is empty. `kept_texts` stands for the view kept.texts, `raw_producers` for
    raw.producers. Columns that a row lacks are null. The other views have no rows.
    """
    for view, rows in given.items():
        place = next((f"{schema}." for schema in ("kept", "raw") if view.startswith(f"{schema}_")), "")
        table = view[len(place) :]
        con.execute(f"CREATE OR REPLACE TABLE {place}as_table AS FROM {place}{table} LIMIT 0")
        if rows:
            con.register("given_rows", pa.Table.from_pylist(list(rows)))
            con.execute(f"INSERT INTO {place}as_table BY NAME FROM given_rows")
            con.unregister("given_rows")
        con.execute(f"DROP VIEW {place}{table}")
        con.execute(f"ALTER TABLE {place}as_table RENAME TO {table}")
    found: list[Row] = run_query(con, named_query(name)).to_pylist()
    return found
