"""Read-only SQL over a data set or a release, with DuckDB. The views are in engine/reading/views.py.

DuckDB 2 accepts COPY inside WITH and reports the whole statement as a SELECT. So before a query runs, its plan is
searched for operators that write.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import tempfile
import warnings
from collections.abc import Collection, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from engine.errors import ConfigError, DamageError, sql_sentence, unknown
from engine.reading.dataset import Dataset
from engine.reading.interruption import interrupted_by_ctrl_c
from engine.reading.kept_views import KEPT
from engine.reading.raw_views import quoted, viewed_files
from engine.reading.views import VIEWS, views

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection, Statement

__all__ = [
    "KEPT",
    "VIEWS",
    "connect",
    "named_queries",
    "named_query",
    "query",
    "run_named",
    "run_own",
    "run_query",
    "stream_query",
    "views_in",
]

_CACHED = 5000  # files of a data set whose footers are kept in memory, which takes 20 KiB or more for each
_WRITES = {"COPY", "INSERT", "UPDATE", "DELETE", "MERGE", "CREATE", "EXPORT", "ATTACH", "EXECUTE"}


def query(dataset: Dataset, sql: str, *, of: str = "") -> pa.Table:
    """Run one statement and return its rows. `of`: see `connect`.

    Raises ConfigError if the statement would write, or if DuckDB rejects it.
    """
    with connect(dataset, of=of) as con:
        return run_query(con, sql)


def run_query(con: DuckDBPyConnection, sql: str) -> pa.Table:
    """Run one statement on an open connection and return its rows. Raises the errors of `query`."""
    with _running(con):
        return con.sql(_checked(con, sql)).to_arrow_table()


def run_own(con: DuckDBPyConnection, sql: str) -> pa.Table:
    """Run one of the engine's own statements. It is not checked, which would take as long as a small one runs.

    `execute` plans a statement once, `sql` twice. It copies the rows once more, so DuckDB warns: but they are few.
    """
    with _running(con):
        return con.execute(sql).to_arrow_table()


def run_named(con: DuckDBPyConnection, name: str) -> pa.Table:
    """The rows of a named query."""
    return run_own(con, named_query(name))


def stream_query(con: DuckDBPyConnection, sql: str, rows: int = 10_000) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    """Run one statement. Returns its schema and its rows in batches of `rows`.

    Each batch is computed when it is read, so the result may be larger than memory. Raises the errors of `query`.
    """
    with _running(con):
        reader = con.sql(_checked(con, sql)).to_arrow_reader(rows)
        schema = reader.schema

    def pieces() -> Iterator[pa.RecordBatch]:
        while True:
            with _running(con):
                batch = next(reader, None)
            if batch is None:
                return
            yield batch

    return schema, pieces()


@contextlib.contextmanager
def _running(con: DuckDBPyConnection) -> Iterator[None]:
    """A context that turns DuckDB's errors into ConfigError, and what it raises for Ctrl-C into KeyboardInterrupt."""
    import duckdb

    try:
        with interrupted_by_ctrl_c(con):
            yield
    except duckdb.InterruptException:
        raise KeyboardInterrupt from None
    except RuntimeError as error:
        if str(error) != "Query interrupted":
            raise
        raise KeyboardInterrupt from None
    except (duckdb.Error, pa.ArrowException, UnicodeError) as error:
        raise ConfigError(f"The query failed: {sql_sentence(str(error))}") from None


def connect(
    dataset: Dataset, *, of: str = "", measuring: bool = False, only: Collection[str] = ()
) -> DuckDBPyConnection:
    """Open a database in memory with the views of VIEWS, of the schema `kept` and of `raw` (the files' columns).

    It cannot open files outside the data set, and its settings are locked.

    of: "judge/<key>" to read other verdicts than the current ones, or "releases/<name>" to read a release.
    measuring: also create the view `truth` (human labels of audit images), which no step of a pipeline may read.
    only: names of views, and "kept" for the schema. If it is given, no others are created.
    """
    import duckdb

    warnings.filterwarnings("ignore", "Arrow output on a DB-API result", module=__name__.replace(".", r"\."))  # run_own
    dataset = dataset.of(of) if of else dataset
    con = duckdb.connect(config={"autoinstall_known_extensions": "false", "autoload_known_extensions": "false"})
    con.execute("SET enable_progress_bar = false")
    files = list(viewed_files(dataset))
    if len(files) <= _CACHED:  # files never change, and a query may read one several times
        con.execute("SET parquet_metadata_cache = true")
    con.execute(f"SET temp_directory = {quoted(os.path.join(tempfile.gettempdir(), f'engine-sql-{os.getpid()}'))}")
    if not dataset.storage.local:
        con.register_filesystem(dataset.storage.fs)
    dataset.check_digests(files)  # DuckDB checks no digests, so a flipped bit would change the answer
    with damage_reported(dataset):
        for statement in views(con, dataset, only=only, truth=measuring):
            con.execute(statement)
    con.execute(f"SET allowed_directories = [{quoted(dataset.location('') + '/')}]")
    con.execute("SET enable_external_access = false")
    con.execute("SET lock_configuration = true")
    return con


@contextlib.contextmanager
def damage_reported(dataset: Dataset) -> Iterator[None]:
    """A context for the engine's own statements.

    Raises DamageError if one fails, because then a file cannot be read.
    """
    import duckdb

    try:
        yield
    except duckdb.Error as error:
        raise DamageError(
            f"A file of '{dataset.url}' cannot be read ({sql_sentence(str(error))}): run 'engine check' to find it."
        ) from error


# --- which statements may run ------------------------------------------------------------------------------


def _checked(con: DuckDBPyConnection, sql: str) -> str:
    """The text of the statement in `sql`. Raises ConfigError if there is more than one, or if it would write."""
    sql.encode()  # raises for lone surrogates, which stand for bytes of the command line that are not UTF-8
    statements = con.extract_statements(sql)
    if len(statements) != 1:
        found = f"{len(statements)} statements" if statements else "no statement"
        raise ConfigError(f"A query must be one statement, found {found}: give one SELECT.")
    text = statements[0].query
    kind = _kind(statements[0])
    inner = text
    if kind == "EXPLAIN":
        inner = _explained(con, text)
        kind = _kind(con.extract_statements(inner)[0])
    if kind != "SELECT":
        hint = ": write PIVOT with its values, PIVOT .. ON x IN (..)" if kind == "MULTI" else ""
        name = "this statement" if kind == "MULTI" else kind.replace("_", " ")
        raise ConfigError(
            f"A query can only read, so {name} is refused{hint or ': use SELECT, DESCRIBE, SUMMARIZE or EXPLAIN'}."
        )
    for name in _operators(con, inner):
        if _WRITES & set(name.upper().split("_")):
            raise ConfigError(f"A query can only read, but this one contains {name.split('_')[0]}: remove it.")
    return text


def _kind(statement: Statement) -> str:
    return str(statement.type).rpartition(".")[2]


def _explained(con: DuckDBPyConnection, text: str) -> str:
    """The statement after EXPLAIN and its options."""
    import duckdb

    data = text.encode()
    tokens = [(at, kind) for at, kind in duckdb.tokenize(text) if not str(kind).endswith("comment")]
    starts = [at for at, _ in tokens]
    words = [data[a:b].decode(errors="replace").strip() for a, b in zip(starts, [*starts[1:], len(data)], strict=True)]
    first = 1
    while first < len(words) and words[first].upper().split()[:1] in (["ANALYZE"], ["ANALYSE"], ["VERBOSE"]):
        first += 1
    rest = data[starts[first] :].decode() if first < len(words) else ""
    if words[first : first + 1] == ["("] and ")" in words[first:]:
        after = words.index(")", first) + 1
        options = data[starts[after] :].decode() if after < len(words) else ""
        try:  # EXPLAIN (SELECT 1) has no options
            rest = options if con.extract_statements(options) else rest
        except duckdb.Error:
            return rest
    return rest


def _operators(con: DuckDBPyConnection, text: str) -> list[str]:
    """The names of the operators in a statement's plan. The statement itself does not run."""
    rows = con.execute(f"EXPLAIN (FORMAT json) {text}").fetchall()

    def names(node: Mapping[str, Any]) -> Iterator[str]:
        yield str(node.get("name", ""))
        for child in node.get("children", []):
            yield from names(child)

    return [name for row in rows for node in json.loads(row[1]) for name in names(node)]


# --- named queries -----------------------------------------------------------------


@cache
def named_queries() -> Mapping[str, Path]:
    """{name: file} of the named queries.

    The files are in this package, so the wheel has them. docs/queries links to them.
    """
    return {path.stem: path for path in sorted((Path(__file__).parent / "queries").glob("*.sql"))}


def views_in(named: str) -> frozenset[str]:
    """The views of a named query, as `only` of `connect`. Empty, which stands for all, for the name ''."""
    statement = named_query(named) if named else ""
    schemas = {name for name in ("kept", "raw") if f"{name}." in statement}
    return frozenset(schemas | set(re.findall(r"\w+", statement)) & set(VIEWS))


def named_query(name: str) -> str:
    known = named_queries()
    if name not in known:
        raise unknown("named query", name, known)
    return known[name].read_text(encoding="utf-8")
