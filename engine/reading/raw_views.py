"""What the files of a data set, or of a release of it, hold: the schema `raw`, one view a folder, and the names of SQL.

A release is shown as a data set of one node that annotates, `release`, all of it kept. Its shards are numbered anew.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import pyarrow as pa

from engine.layout import IMAGES, INPUTS, LISTINGS
from engine.reading.dataset import Dataset
from engine.schema import ANNOTATIONS, CHANGES, PARSE, PROBE, RECORD, VERDICTS
from engine.schema import IMAGES as IMAGES_SCHEMA
from engine.schema import INPUTS as INPUTS_SCHEMA
from engine.storage.listings import STATES

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


def raw_views(con: DuckDBPyConnection, dataset: Dataset) -> Iterator[str]:
    yield "CREATE SCHEMA raw"
    if dataset.release:
        yield from _released(con, dataset)
    else:
        yield _raw(con, dataset, IMAGES, dataset.files(IMAGES), IMAGES_SCHEMA, places=True)
        yield _raw(con, dataset, INPUTS, dataset.files(INPUTS), INPUTS_SCHEMA)
        yield _raw(con, dataset, "states", _latest(dataset.files(LISTINGS)), STATES)
        yield _raw(con, dataset, "probe", dataset.files(dataset.probe), PROBE, places=True)
        yield _raw(con, dataset, "verdicts", dataset.judged_files(), VERDICTS)
        yield _raw(con, dataset, "changes", dict(enumerate(dataset.changes().values())), CHANGES)
        for node in dataset.nodes:
            if node.over != "texts":
                yield _raw(con, dataset, f"node {node.name}", dataset.files(node.folder), RECORD)
    for node in dataset.nodes:
        if node.over == "texts":
            yield _raw(con, dataset, f"node {node.name}", dataset.files(node.folder), PARSE, places=True)
    yield _counts(dataset)


def viewed_files(dataset: Dataset) -> Iterator[str]:
    """The files behind the views."""
    folders = [dataset.release] if dataset.release else [IMAGES, INPUTS, LISTINGS, dataset.probe]
    for folder in [*folders, *(node.folder for node in dataset.nodes if node.folder not in folders)]:
        yield from dataset.files(folder).values()
    if not dataset.release:
        yield from dataset.judged_files().values()
        yield from dataset.changes().values()


def _latest(files: Mapping[int, str]) -> dict[int, str]:
    return {number: files[number] for number in sorted(files)[-1:]}


def _counts(dataset: Dataset) -> str:
    """How many annotations each node gave each image; the images themselves are one each."""
    parts = ["SELECT image_id, 'images' AS annotation_type, 1 AS number FROM raw.images"]
    for node in dataset.record_nodes():
        table = f"raw.{identifier(f'node {node.name}')}"
        parts += [f"SELECT image_id, '{column}', len({column}) FROM {table}" for column in node.columns]
    return f"CREATE VIEW raw.given AS {' UNION ALL '.join(parts)}"


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
        paths = ", ".join(quoted(dataset.location(path)) for path in files.values())
        options = ", filename = true, file_row_number = true" if places else ""
        options += ", union_by_name = true" if name == "probe" or dataset.older else ""  # some may lack columns
        found = f"SELECT * FROM read_parquet([{paths}]{options})"
        if dataset.older:  # columns that all of them lack
            found += f" UNION ALL BY NAME SELECT {', '.join(nothing(con, schema))} WHERE false"
        return f"CREATE VIEW raw.{identifier(name)} AS {found}"
    columns = nothing(con, schema)
    columns += ["''::VARCHAR AS filename", "0::BIGINT AS file_row_number"] if places else []
    return f"CREATE VIEW raw.{identifier(name)} AS SELECT {', '.join(columns)} WHERE false"


def nothing(con: DuckDBPyConnection, schema: pa.Schema) -> list[str]:
    """Typed columns without rows: what a view over no files selects."""
    empty = con.from_arrow(schema.empty_table())
    return [f"NULL::{kind} AS {identifier(name)}" for name, kind in zip(empty.columns, empty.types, strict=True)]


def given(dataset: Dataset, column: str) -> str:
    """Every annotation of a column of the record: image_id, annotation_id and its fields.

    Fields are taken out of the struct here, below any join: a join that carried the structs took twice the time.
    """
    own = [f"a.{identifier(name)} AS {identifier(name)}" for name in fields_of(column)]
    told = f"SELECT image_id, a.id AS annotation_id, {', '.join(own)} FROM (SELECT image_id, unnest({column}) AS a FROM"
    nodes = [f"raw.{identifier(f'node {node.name}')}" for node in dataset.record_nodes(column)]
    if not nodes:  # any file of images' labels has the types
        return f"{told} raw.inputs, (SELECT ''::VARCHAR AS image_id) WHERE false)"
    return " UNION ALL ".join(f"{told} {node})" for node in nodes)


def fields_of(column: str) -> list[str]:
    return [field.name for field in RECORD.field(column).type.value_type if field.name != "id"]


# --- a release ---------------------------------------------------------------------------------


def _released(con: DuckDBPyConnection, dataset: Dataset) -> Iterator[str]:
    """A release in the shape of a data set. What it was not told, such as a file's format before, is null."""
    own = [field for field in IMAGES_SCHEMA if field.name not in ("bytes", "uri", "offset", "length")]
    place = [IMAGES_SCHEMA.field(name) for name in ("offset", "length")]
    schema = pa.schema([*own, *(RECORD.field(name) for name in ANNOTATIONS), pa.field("tar", pa.string()), *place])
    yield _raw(con, dataset, "release", dataset.files(dataset.release), schema, places=True)
    columns, names = ", ".join(ANNOTATIONS), ", ".join(identifier(field.name) for field in own)
    tar = quoted(dataset.location(dataset.release) + "/")
    yield f"""CREATE VIEW raw.images AS SELECT {names}, NULL::BIGINT AS bytes, {tar} || tar AS uri, "offset", length,
        filename, file_row_number FROM raw.release"""
    yield f"CREATE VIEW raw.{identifier('node release')} AS SELECT image_id, {columns}, [] AS failures FROM raw.release"
    fates = [f"list_transform({name}, lambda a: {_KEPT.format('a.id')}) AS {name}" for name in ANNOTATIONS]
    yield f"""CREATE VIEW raw.verdicts AS
        SELECT image_id, {_KEPT.format("image_id")} AS image, {", ".join(fates)}, [] AS failures FROM raw.release"""
    yield _raw(con, dataset, "changes", {}, CHANGES)
    yield _raw(con, dataset, "states", {}, STATES)
    for name, schema in ((INPUTS, INPUTS_SCHEMA), ("probe", PROBE)):
        empty = ", ".join(column for column in nothing(con, schema) if column.rpartition(" ")[2] not in _LISTED)
        number = ", filename, (nth - 1) AS file_row_number" if name == "probe" else ""
        yield f"""CREATE VIEW raw.{name} AS SELECT r.s.source AS source, r.s.uri AS uri, '' AS fingerprint,
            {"r.image_id AS image_id," if name == "probe" else ""} {empty}{number}
            FROM (SELECT image_id, filename, unnest(sources) AS s, generate_subscripts(sources, 1) AS nth
                  FROM raw.release) r"""


_LISTED = ('"source"', '"uri"', '"fingerprint"', '"image_id"')
_KEPT = "{{'id': {}, 'kept': true, 'rule': '', 'value': NULL::DOUBLE, 'threshold': NULL::DOUBLE}}"


def quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def identifier(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'
