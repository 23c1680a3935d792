"""A data set as DuckDB views, for reading only.

Every view shows `image_id`, `split` and `kept` (null: not judged yet); an annotation's own name is `annotation_id`.
One could get wrong what is read-only: DuckDB 2 takes COPY inside WITH and calls the whole a SELECT, so a query's
plan is looked at before it runs.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from engine.dataset import INPUTS, Dataset
from engine.errors import ConfigError, unknown
from engine.graph import IMAGES
from engine.schema import ANNOTATIONS, PARSE, PROBE, RECORD, VERDICTS
from engine.schema import IMAGES as IMAGES_SCHEMA
from engine.schema import INPUTS as INPUTS_SCHEMA

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection, Statement

VIEWS = (IMAGES, *ANNOTATIONS, "parse", "failures", INPUTS, "verdicts", "runs")

_RUN = {
    "command": "VARCHAR",
    "stage": "VARCHAR",
    "error": "VARCHAR",
    "seconds": "DOUBLE",
    "listed": "BIGINT",
    "shards": "BIGINT",
    "release": "VARCHAR",
    "host": "VARCHAR",
    "recipe": "VARCHAR",
    "versions": "VARCHAR",
    "nodes": "STRUCT(node VARCHAR, units BIGINT, items BIGINT, failed BIGINT, skipped BIGINT, worker_seconds DOUBLE, "
    "lost_races BIGINT, notes VARCHAR[])[]",
}
_VERDICT = 'j.v.kept AS kept, j.v.rule AS rule, j.v."value" AS "value", j.v.threshold AS threshold'
_SHARD = "regexp_extract(parse_filename({}.filename), '^[0-9]+')"
_WRITES = {"COPY", "INSERT", "UPDATE", "DELETE", "MERGE", "CREATE", "EXPORT", "ATTACH", "EXECUTE"}


def query(dataset: Dataset, sql: str) -> pa.Table:
    """The rows of one statement that reads. ConfigError, one sentence, for any other and for what DuckDB refuses."""
    with connect(dataset) as con:
        return run_query(con, sql)


def run_query(con: DuckDBPyConnection, sql: str) -> pa.Table:
    """`query` on a connection that is open already."""
    import duckdb

    try:
        statement = _checked(con, sql)
        return con.sql(statement).to_arrow_table()
    except duckdb.Error as error:
        raise ConfigError(f"The query failed: {one_sentence(str(error))}") from None


def connect(dataset: Dataset) -> DuckDBPyConnection:
    """An in-memory connection that holds VIEWS, and the files they read as views of the schema `raw`.

    It can open nothing outside the data set, and its settings are locked.
    """
    import duckdb

    con = duckdb.connect(config={"autoinstall_known_extensions": "false", "autoload_known_extensions": "false"})
    con.execute("SET enable_progress_bar = false")
    con.execute(f"SET temp_directory = {_quoted(os.path.join(tempfile.gettempdir(), f'engine-sql-{os.getpid()}'))}")
    if not dataset.storage.local:
        con.register_filesystem(dataset.storage.fs)
    for statement in _views(con, dataset):
        con.execute(statement)
    con.execute(f"SET allowed_directories = [{_quoted(dataset.location('') + '/')}]")
    con.execute("SET enable_external_access = false")
    con.execute("SET lock_configuration = true")
    return con


# --- what may run ------------------------------------------------------------------------------


def _checked(con: DuckDBPyConnection, sql: str) -> str:
    """The one statement of `sql`, if it reads."""
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


# --- views ---------------------------------------------------------------------------------------


def _views(con: DuckDBPyConnection, dataset: Dataset) -> Iterator[str]:
    yield "CREATE SCHEMA raw"
    yield _raw(con, dataset, IMAGES, dataset.files(IMAGES), IMAGES_SCHEMA, places=True)
    yield _raw(con, dataset, INPUTS, dataset.files(INPUTS), INPUTS_SCHEMA)
    yield _raw(con, dataset, "probe", dataset.files(dataset.probe), PROBE, places=True)
    yield _raw(con, dataset, "verdicts", dataset.judged_files(), VERDICTS)
    for node in dataset.nodes:
        texts = node.over == "texts"
        yield _raw(
            con, dataset, f"node {node.name}", dataset.files(node.folder), PARSE if texts else RECORD, places=texts
        )
    yield _images()
    for column in ANNOTATIONS:
        yield _annotations(dataset, column)
    yield _parse(con, dataset)
    yield _inputs()
    yield _failures(dataset)
    yield _verdicts()
    yield _runs(dataset)


def _raw(
    con: DuckDBPyConnection,
    dataset: Dataset,
    name: str,
    files: Mapping[int, str],
    schema: pa.Schema,
    *,
    places: bool = False,
) -> str:
    """The files as they are; with `places` also `filename` and `file_row_number`."""
    if files:
        paths = ", ".join(_quoted(dataset.location(path)) for path in files.values())
        options = ", filename = true, file_row_number = true" if places else ""
        return f"CREATE VIEW raw.{_name(name)} AS SELECT * FROM read_parquet([{paths}]{options})"
    columns = _nothing(con, schema)
    columns += ["''::VARCHAR AS filename", "0::BIGINT AS file_row_number"] if places else []
    return f"CREATE VIEW raw.{_name(name)} AS SELECT {', '.join(columns)} WHERE false"


def _nothing(con: DuckDBPyConnection, schema: pa.Schema) -> list[str]:
    """Typed columns without rows: what a view over no files selects."""
    empty = con.from_arrow(schema.empty_table())
    return [f"NULL::{kind} AS {_name(name)}" for name, kind in zip(empty.columns, empty.types, strict=True)]


def _images() -> str:
    own = [field.name for field in IMAGES_SCHEMA if field.name not in ("image_id", "split", "offset", "length")]
    return f"""CREATE VIEW images AS
        SELECT i.image_id, i.split, {_VERDICT}, len(i.sources) AS n_sources, {", ".join(f"i.{_name(c)}" for c in own)},
               i."offset" AS byte_offset, i.length AS byte_length
        FROM raw.images i LEFT JOIN (SELECT image_id, image AS v FROM raw.verdicts) j ON j.image_id = i.image_id"""


def _annotations(dataset: Dataset, column: str) -> str:
    """One row an annotation of the record. Verdicts are found by id, wherever they stand in their list."""
    fields = [field.name for field in RECORD.field(column).type.value_type if field.name != "id"]
    verdict = _VERDICT.replace('AS "value"', "AS rule_value") if "value" in fields else _VERDICT
    own = ", ".join(f"g.a.{_name(name)} AS {_name(name)}" for name in fields)
    return f"""CREATE VIEW {column} AS
        SELECT g.image_id, i.split, {verdict}, g.a.id AS annotation_id, {own}
        FROM ({_given(dataset, column)}) g
        LEFT JOIN (SELECT image_id, split FROM raw.images) i ON i.image_id = g.image_id
        LEFT JOIN (SELECT image_id, unnest({column}) AS v FROM raw.verdicts) j
          ON j.image_id = g.image_id AND j.v.id = g.a.id"""


def _given(dataset: Dataset, column: str) -> str:
    """Every annotation of a column of the record: image_id and the struct `a`."""
    nodes = [f"raw.{_name(f'node {node.name}')}" for node in dataset.record_nodes(column)]
    if not nodes:  # any file of images' labels has the types
        return f"SELECT image_id, unnest({column}) AS a FROM raw.inputs, (SELECT ''::VARCHAR AS image_id) WHERE false"
    return " UNION ALL ".join(f"SELECT image_id, unnest({column}) AS a FROM {node}" for node in nodes)


def _parse(con: DuckDBPyConnection, dataset: Dataset) -> str:
    """One row a distinct text: shards, and writers, that share a text each have its parse."""
    tables = [f"raw.{_name(f'node {node.name}')}" for node in dataset.nodes if node.over == "texts"]
    if not tables:
        return f"CREATE VIEW parse AS SELECT {', '.join(_nothing(con, PARSE))} WHERE false"
    rows = " UNION ALL ".join(f"SELECT * FROM {table}" for table in tables)
    return f"CREATE VIEW parse AS SELECT DISTINCT ON (text_key) * EXCLUDE (filename, file_row_number) FROM ({rows})"


def _inputs() -> str:
    """The first input of an image is its 'image', in the order of listing; the others are its duplicates."""
    return f"""CREATE VIEW inputs AS
        SELECT n.source, n.uri, nullif(p.image_id, '') AS image_id, i.split, {_VERDICT.partition(",")[0]},
               CASE WHEN p.uri IS NULL THEN 'pending' WHEN len(p.failures) > 0 THEN 'quarantined'
                    WHEN i.image_id IS NULL THEN 'pending' WHEN p.nth = 1 THEN 'image' ELSE 'duplicate' END AS outcome,
               p.failures[1].reason AS reason, p.failures[1].error AS error
        FROM raw.inputs n
        LEFT JOIN (SELECT source, uri, fingerprint, image_id, failures, row_number() OVER (
                     PARTITION BY image_id ORDER BY len(filename), filename, file_row_number) AS nth FROM raw.probe) p
          ON p.source = n.source AND p.uri = n.uri AND p.fingerprint = n.fingerprint
        LEFT JOIN (SELECT image_id, split FROM raw.images) i ON i.image_id = p.image_id
        LEFT JOIN (SELECT image_id, image AS v FROM raw.verdicts) j ON j.image_id = i.image_id"""


def _failures(dataset: Dataset) -> str:
    """One row a failure. An input that is no image has its uri only; a text fails for its images in that shard."""
    parts = ["SELECT NULL::VARCHAR AS image_id, uri, 'probe' AS node, unnest(failures) AS f FROM raw.probe"]
    for node in dataset.nodes:
        table, name = f"raw.{_name(f'node {node.name}')}", _quoted(node.name)
        if node.over == "texts":
            parts.append(
                f"""SELECT g.image_id, NULL, {name}, unnest(t.failures) FROM {table} t
                JOIN (SELECT DISTINCT image_id, a.text_key AS text_key FROM ({_given(dataset, "texts")})) g
                  ON g.text_key = t.text_key
                JOIN raw.images h ON h.image_id = g.image_id AND {_SHARD.format("h")} = {_SHARD.format("t")}
                WHERE len(t.failures) > 0"""
            )
        else:
            parts.append(f"SELECT image_id, NULL, {name}, unnest(failures) FROM {table} WHERE len(failures) > 0")
    return f"""CREATE VIEW failures AS
        SELECT DISTINCT e.image_id, i.split, {_VERDICT.partition(",")[0]}, coalesce(e.uri, i.uri) AS uri, e.node,
               e.f.component AS component, e.f.reason AS reason, e.f.error AS error, e.f.attempts AS attempts
        FROM ({" UNION ALL ".join(parts)}) e
        LEFT JOIN (SELECT image_id, split, uri FROM raw.images) i ON i.image_id = e.image_id
        LEFT JOIN (SELECT image_id, image AS v FROM raw.verdicts) j ON j.image_id = e.image_id"""


def _verdicts() -> str:
    """One row a verdict, on images and on annotations."""
    parts = ["SELECT image_id, 'images' AS annotation_type, image AS v FROM raw.verdicts"]
    parts += [f"SELECT image_id, '{column}', unnest({column}) FROM raw.verdicts" for column in ANNOTATIONS]
    return f"""CREATE VIEW verdicts AS
        SELECT j.image_id, i.split, {_VERDICT}, j.annotation_type, j.v.id AS annotation_id
        FROM ({" UNION ALL ".join(parts)}) j
        LEFT JOIN (SELECT image_id, split FROM raw.images) i ON i.image_id = j.image_id"""


def _runs(dataset: Dataset) -> str:
    folders = dataset.runs()
    if not folders:
        columns = ["''::VARCHAR AS run", *(f"NULL::{kind} AS {_name(name)}" for name, kind in _RUN.items())]
        return f"CREATE VIEW runs AS SELECT {', '.join(columns)} WHERE false"
    paths = ", ".join(_quoted(dataset.location(f"{folder}/run.json")) for folder in folders)
    columns_ = ", ".join(f"{_name(name)}: {_quoted(kind)}" for name, kind in _RUN.items())
    return f"""CREATE VIEW runs AS SELECT parse_filename(parse_dirpath(filename)) AS run, * EXCLUDE (filename)
        FROM read_json([{paths}], format = 'unstructured', filename = true, columns = {{{columns_}}}) ORDER BY run"""


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _name(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'
