"""Runs the queries of the report's figures. Views that many queries read are made into tables first.

A table has the same rows and columns as the view that it replaces, so the statement on the page gives the same result
in `engine query`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pyarrow as pa

from engine.reading.dataset import Dataset
from engine.reading.rule_values_view import RULE_VALUES, rule_values_rows
from engine.reading.sql import connect, run_named
from pipelines.analyse.figure import Row
from pipelines.filter.rule_values import rule_values

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

# In this order, because views of the schema `kept` read those before them.
_MATERIALISED = (
    "images",
    "texts",
    "regions",
    "phrases",
    "region_texts",
    "tags",
    "image_scores",
    "parse",
    "inputs",
    "failures",
    "kept.images",
    "kept.texts",
    "kept.regions",
    "kept.phrases",
    "kept.triplets",
)

MEASURED_RULES = "measured_rules"  # in `analysis`: what the view `rule_values` reads, to be kept beside the page


@contextmanager
def analysis(dataset: Dataset, of: str = "") -> Iterator[DuckDBPyConnection]:
    """A read-only connection with the views of `connect`, and `truth`, for running many queries.

    DuckDB moves tables that do not fit into memory to a temporary folder.
    """
    with connect(dataset, of=of, measuring=True) as con:
        for view in _MATERIALISED:
            schema, _, name = view.rpartition(".")
            place = f"{schema}." if schema else ""
            con.execute(f"CREATE TABLE {place}as_table AS FROM {view}")
            con.execute(f"DROP VIEW {view}")
            con.execute(f"ALTER TABLE {place}as_table RENAME TO {name}")
        _measure_rules(con, dataset.of(of) if of else dataset)
        yield con


def _measure_rules(con: DuckDBPyConnection, dataset: Dataset) -> None:
    """Replaces the view `rule_values`, which reads the table of the last report, by the rows of this one."""
    con.register(MEASURED_RULES, rule_values(dataset))
    con.execute(f"DROP VIEW {RULE_VALUES}")
    rows = rule_values_rows(f"FROM {MEASURED_RULES}")
    con.execute(f"CREATE TABLE {RULE_VALUES} AS {rows}")


def run_queries(
    con: DuckDBPyConnection, names: Iterable[str], on_query: Callable[[str], None] | None = None
) -> dict[str, pa.Table]:
    """{name: rows} of named queries. `on_query` gets the name of each query before it runs."""
    tables = {}
    for name in names:
        if on_query:
            on_query(name)
        tables[name] = run_named(con, name)
    return tables


def rows_of(table: pa.Table) -> list[Row]:
    """The rows of a table. Sums of integers, which DuckDB gives as decimals, become int or float; NaN becomes None."""
    columns = [column.combine_chunks() if column.num_chunks else column for column in table.columns]
    for number, column in enumerate(columns):
        if pa.types.is_decimal(column.type):
            columns[number] = column.cast(pa.int64() if column.type.scale == 0 else pa.float64())
    rows = pa.table(columns, table.column_names).to_pylist()
    return [{name: None if value != value else value for name, value in row.items()} for row in rows]


def with_set(tables: Mapping[str, Mapping[str, pa.Table]], query: str) -> pa.Table:
    """The rows of one query on all data sets. `tables`: {data set: {query: rows}}.

    With two data sets the first column is `set`, the name of the data set.
    """
    if len(tables) == 1:
        return next(iter(tables.values()))[query]
    parts: Sequence[pa.Table] = [
        rows[query].add_column(0, "set", pa.array([name] * rows[query].num_rows, pa.string()))
        for name, rows in tables.items()
    ]
    return pa.concat_tables(parts, promote_options="permissive")
