"""A data set, or a release of it, in DuckDB, read-only. The views are in engine/reading/views.py.

One could get wrong what is read-only: DuckDB 2 takes COPY inside WITH and calls the whole a SELECT, so a query's
plan is looked at before it runs.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from engine.errors import ConfigError, DamageError, unknown
from engine.reading.dataset import Dataset
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
    "one_sentence",
    "query",
    "run_query",
    "stream_query",
]

_WRITES = {"COPY", "INSERT", "UPDATE", "DELETE", "MERGE", "CREATE", "EXPORT", "ATTACH", "EXECUTE"}


def query(dataset: Dataset, sql: str, *, of: str = "") -> pa.Table:
    """The rows of one statement that reads. ConfigError, one sentence, for any other and for what DuckDB refuses."""
    with connect(dataset, of=of) as con:
        return run_query(con, sql)


def run_query(con: DuckDBPyConnection, sql: str) -> pa.Table:
    """`query` on a connection that is open already."""
    with _sentences():
        return con.sql(_checked(con, sql)).to_arrow_table()


def stream_query(con: DuckDBPyConnection, sql: str, rows: int = 10_000) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    """The same piece by piece: what is read on is computed on, so that an answer may be larger than the memory."""
    with _sentences():
        reader = con.sql(_checked(con, sql)).to_arrow_reader(rows)
        schema = reader.schema

    def pieces() -> Iterator[pa.RecordBatch]:
        with _sentences():
            yield from reader

    return schema, pieces()


@contextlib.contextmanager
def _sentences() -> Iterator[None]:
    """ConfigError for what DuckDB refuses; KeyboardInterrupt where a person interrupts it."""
    import duckdb

    try:
        yield
    except duckdb.InterruptException:
        raise KeyboardInterrupt from None
    except (duckdb.Error, pa.ArrowException, UnicodeError) as error:
        raise ConfigError(f"The query failed: {one_sentence(str(error))}") from None


def connect(dataset: Dataset, *, of: str = "", measuring: bool = False) -> DuckDBPyConnection:
    """An in-memory connection that holds VIEWS, KEPT as views of the schema `kept`, and what files hold in `raw`.

    `of` is "judge/<key>" or "releases/<name>": those verdicts, or that release, instead of the current verdicts.
    `measuring`: also the view `truth`, people's labels of audit images, which nothing but a person may look at.
    It can open nothing outside the data set, and its settings are locked.
    """
    import duckdb

    dataset = dataset.of(of) if of else dataset
    con = duckdb.connect(config={"autoinstall_known_extensions": "false", "autoload_known_extensions": "false"})
    con.execute("SET enable_progress_bar = false")
    con.execute("SET parquet_metadata_cache = true")  # one query reads verdicts several times, and no file changes
    con.execute(f"SET temp_directory = {quoted(os.path.join(tempfile.gettempdir(), f'engine-sql-{os.getpid()}'))}")
    if not dataset.storage.local:
        con.register_filesystem(dataset.storage.fs)
    dataset.hold(viewed_files(dataset))  # DuckDB checks no sums: a flipped bit would be another answer
    with damage_told(dataset):
        for statement in views(con, dataset, truth=measuring):
            con.execute(statement)
    con.execute(f"SET allowed_directories = [{quoted(dataset.location('') + '/')}]")
    con.execute("SET enable_external_access = false")
    con.execute("SET lock_configuration = true")
    return con


@contextlib.contextmanager
def damage_told(dataset: Dataset) -> Iterator[None]:
    """What DuckDB raises over the engine's own statements is a file it cannot read, beyond those that were held."""
    import duckdb

    try:
        yield
    except duckdb.Error as error:
        raise DamageError(
            f"A file of '{dataset.url}' cannot be read ({one_sentence(str(error))}): 'engine check' tells which."
        ) from error


# --- what may run ------------------------------------------------------------------------------


def _checked(con: DuckDBPyConnection, sql: str) -> str:
    """The one statement of `sql`, if it reads."""
    sql.encode()  # a half of a surrogate pair: bytes of the command line that are no UTF-8
    statements = con.extract_statements(sql)
    if len(statements) != 1:
        found = f"{len(statements)} statements" if statements else "no statement"
        raise ConfigError(f"A query is one statement that reads, this holds {found}: give one SELECT.")
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
            f"A query only reads, {name} is refused{hint or ': use SELECT, DESCRIBE, SUMMARIZE or EXPLAIN'}."
        )
    for name in _operators(con, inner):
        if _WRITES & set(name.upper().split("_")):
            raise ConfigError(f"A query only reads, this one holds {name.split('_')[0]}: leave it out.")
    return text


def _kind(statement: Statement) -> str:
    return str(statement.type).rpartition(".")[2]


def _explained(con: DuckDBPyConnection, text: str) -> str:
    """What an EXPLAIN explains, without its options."""
    import duckdb

    data = text.encode()
    tokens = [(at, kind) for at, kind in duckdb.tokenize(text) if not str(kind).endswith("comment")]
    starts = [at for at, _ in tokens]
    words = [data[a:b].decode(errors="replace").strip() for a, b in zip(starts, [*starts[1:], len(data)], strict=True)]
    place = 1
    while place < len(words) and words[place].upper().split()[:1] in (["ANALYZE"], ["ANALYSE"], ["VERBOSE"]):
        place += 1
    rest = data[starts[place] :].decode() if place < len(words) else ""
    if words[place : place + 1] == ["("] and ")" in words[place:]:
        after = words.index(")", place) + 1
        options = data[starts[after] :].decode() if after < len(words) else ""
        try:  # EXPLAIN (SELECT 1) has no options
            rest = options if con.extract_statements(options) else rest
        except duckdb.Error:
            return rest
    return rest


def _operators(con: DuckDBPyConnection, text: str) -> list[str]:
    """The names in the plan of a statement. Making a plan runs nothing."""
    rows = con.execute(f"EXPLAIN (FORMAT json) {text}").fetchall()

    def names(node: Mapping[str, Any]) -> Iterator[str]:
        yield str(node.get("name", ""))
        for child in node.get("children", []):
            yield from names(child)

    return [name for row in rows for node in json.loads(row[1]) for name in names(node)]


def one_sentence(message: str) -> str:
    """DuckDB's message without the kind of error before it and the drawing behind it."""
    lines = [line.strip() for line in message.partition("\nLINE ")[0].splitlines()]
    told = " ".join(line for line in lines if line)
    head, colon, rest = told.partition(" Error: ")
    told = rest if colon and " " not in head.strip() else told
    return told if told.endswith((".", "!", "?")) else f"{told}."


# --- the queries that have a name -----------------------------------------------------------------


def named_queries() -> dict[str, Path]:
    """{name: file}. They lie inside the package, so that a wheel has them; docs/queries is a link to them."""
    return {path.stem: path for path in sorted((Path(__file__).parent / "queries").glob("*.sql"))}


def named_query(name: str) -> str:
    known = named_queries()
    if name not in known:
        raise unknown("named query", name, known)
    return known[name].read_text(encoding="utf-8")
