"""SQL over a data set. The result is an Arrow table."""

from __future__ import annotations

import pyarrow as pa

from engine.errors import ConfigError
from engine.reading.dataset import Dataset
from engine.reading.sql import connect, named_query, run_query, views_in


def query(dataset: Dataset, sql: str = "", *, named: str = "", of: str = "") -> pa.Table:
    """The rows that an SQL statement gives: `query(data, "SELECT label, count(*) FROM regions GROUP BY label")`.

    `named`: a query of docs/queries, in place of `sql`. `of`: the verdicts to use, "judge/<key>" or "releases/<name>";
    by default the current ones. Raises ConfigError if the statement is not exactly one SELECT, or if DuckDB refuses it.
    """
    statement = statement_of(sql, named)
    with connect(dataset, of=of, measuring=reads_truth(statement), only=views_in(named)) as con:
        return run_query(con, statement)


def statement_of(sql: str, named: str) -> str:
    """The statement to run: `sql`, or the query `named`. Raises ConfigError unless exactly one of them is given."""
    if bool(sql.strip()) == bool(named):
        found = "both" if named else "neither"
        raise ConfigError(f'Give either a query or --named, found {found}: engine query "SELECT ..." or --named list.')
    return named_query(named) if named else sql


def reads_truth(statement: str) -> bool:
    """Whether the statement contains the word `truth`. The view of this name is made only for such statements."""
    return "truth" in statement.lower()
