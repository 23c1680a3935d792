"""The schema `raw`: one view for each folder of a data set, with the columns of the files in it.

A release appears as a data set with one node, `release`, whose annotations are all kept. Its shards are numbered
independently of those of the data set.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING

import pyarrow as pa

from engine.layout import IMAGES, INPUTS, LISTINGS
from engine.reading.dataset import Dataset
from engine.records.embeddings import EMBEDDING, EMBEDDINGS
from engine.schema import ANNOTATIONS, CHANGES, PARSE, PROBE, RECORD, VERDICTS
from engine.schema import IMAGES as IMAGES_SCHEMA
from engine.schema import INPUTS as INPUTS_SCHEMA
from engine.storage.listings import STATES

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

# In SQL a vector is a list of any length. A shard lacks this column if all of its images were lost in crashes.
RECORD_WITH_EMBEDDING = RECORD.append(pa.field(EMBEDDING, pa.list_(pa.float32())))


def raw_views(con: DuckDBPyConnection, dataset: Dataset, *, probe: bool = True) -> Iterator[str]:
    """`probe`: whether to create raw.probe of a data set, for which the schemas of all its files are read."""
    yield "CREATE SCHEMA raw"
    if dataset.release:
        yield from _released(con, dataset)
    else:
        yield _raw(con, dataset, IMAGES, dataset.files(IMAGES), IMAGES_SCHEMA, places=True)
        yield _raw(con, dataset, INPUTS, dataset.files(INPUTS), INPUTS_SCHEMA)
        yield _raw(con, dataset, "states", _latest(dataset.files(LISTINGS)), STATES)
        if probe:
            yield _raw(con, dataset, "probe", dataset.files(dataset.probe), PROBE, places=True)
        yield _raw(con, dataset, "verdicts", dataset.judged_files(), VERDICTS)
        yield _raw(con, dataset, "changes", dict(enumerate(dataset.changes().values())), CHANGES)
        for node in dataset.nodes:
            if node.over != "texts":
                schema = RECORD_WITH_EMBEDDING if EMBEDDINGS in node.gives else RECORD
                yield _raw(con, dataset, f"node {node.name}", dataset.files(node.folder), schema)
    for node in dataset.nodes:
        if node.over == "texts":
            yield _raw(con, dataset, f"node {node.name}", dataset.files(node.folder), PARSE, places=True)
    yield _counts(dataset)
    yield _producers(dataset)


def viewed_files(dataset: Dataset) -> Iterator[str]:
    """The paths of all files that the views read."""
    folders = [dataset.release] if dataset.release else [IMAGES, INPUTS, LISTINGS, dataset.probe]
    for folder in [*folders, *(node.folder for node in dataset.nodes if node.folder not in folders)]:
        yield from dataset.files(folder).values()
    if not dataset.release:
        yield from dataset.judged_files().values()
        yield from dataset.changes().values()


def _latest(files: Mapping[int, str]) -> dict[int, str]:
    return {number: files[number] for number in sorted(files)[-1:]}


def _counts(dataset: Dataset) -> str:
    """The statement that creates the view raw.given: the number of annotations by image, node and annotation type.

    It also has one row of the type 'images' for each image.
    """
    parts = ["SELECT image_id, 'images' AS annotation_type, 1 AS number FROM raw.images"]
    for node in dataset.record_nodes():
        table = f"raw.{identifier(f'node {node.name}')}"
        parts += [f"SELECT image_id, '{column}', len({column}) FROM {table}" for column in node.columns]
    return f"CREATE VIEW raw.given AS {' UNION ALL '.join(parts)}"


def _producers(dataset: Dataset) -> str:
    """The statement that creates the view raw.producers: all producers of annotations, without reading verdicts."""
    parts = ["SELECT ''::VARCHAR AS producer WHERE false"]
    for node in dataset.record_nodes():
        table = f"raw.{identifier(f'node {node.name}')}"
        parts += [f"SELECT a.producer FROM (SELECT unnest({column}) AS a FROM {table})" for column in node.columns]
    return f"CREATE VIEW raw.producers AS {' UNION '.join(parts)}"


def _raw(
    con: DuckDBPyConnection,
    dataset: Dataset,
    name: str,
    files: Mapping[int, str],
    schema: pa.Schema,
    *,
    places: bool = False,
) -> str:
    """The statement that creates a view of Parquet files.

    `places`: the view also has the columns `filename` and `file_row_number`.
    """
    if files:
        options = ", filename = true, file_row_number = true" if places else ""
        may_lack_columns = name == "probe" or dataset.older or schema is RECORD_WITH_EMBEDDING
        options += ", union_by_name = true" if may_lack_columns else ""
        rows = f"SELECT * FROM read_parquet({_list(dataset, files.values())}{options})"
        if dataset.older or schema is RECORD_WITH_EMBEDDING:  # add the columns that all files lack
            rows += f" UNION ALL BY NAME SELECT {', '.join(empty_columns(con, schema))} WHERE false"
        return f"CREATE VIEW raw.{identifier(name)} AS {rows}"
    columns = empty_columns(con, schema)
    columns += ["''::VARCHAR AS filename", "0::BIGINT AS file_row_number"] if places else []
    return f"CREATE VIEW raw.{identifier(name)} AS SELECT {', '.join(columns)} WHERE false"


def _list(dataset: Dataset, files: Collection[str]) -> str:
    """SQL for the list of these files' paths. DuckDB would need 10 KiB for each literal in a list of many."""
    paths = [dataset.location(path) for path in files]
    folders = {path.rpartition("/")[0] for path in paths}
    folder = f"{folders.pop()}/" if len(folders) == 1 else ""
    names = [path.removeprefix(folder) for path in paths]
    if any("|" in name for name in names):  # '|' separates them otherwise
        return f"[{', '.join(map(quoted, paths))}]"
    return f"list_transform(string_split({quoted('|'.join(names))}, '|'), lambda name: {quoted(folder)} || name)"


def empty_columns(con: DuckDBPyConnection, schema: pa.Schema) -> list[str]:
    """SQL for the columns of a schema, with their types and null as value. For a view without files."""
    empty = con.from_arrow(schema.empty_table())
    return [f"NULL::{kind} AS {identifier(name)}" for name, kind in zip(empty.columns, empty.types, strict=True)]


def given(dataset: Dataset, column: str) -> str:
    """A SELECT of all annotations of one column of the record: image_id, annotation_id and the fields.

    It takes the fields out of the struct before any join. Joins of whole structs took twice as long.
    """
    own = [f"a.{identifier(name)} AS {identifier(name)}" for name in fields_of(column)]
    select = (
        f"SELECT image_id, a.id AS annotation_id, {', '.join(own)} FROM (SELECT image_id, unnest({column}) AS a FROM"
    )
    nodes = [f"raw.{identifier(f'node {node.name}')}" for node in dataset.record_nodes(column)]
    if not nodes:  # raw.inputs has columns of the same types
        return f"{select} raw.inputs, (SELECT ''::VARCHAR AS image_id) WHERE false)"
    return " UNION ALL ".join(f"{select} {node})" for node in nodes)


def fields_of(column: str) -> list[str]:
    return [field.name for field in RECORD.field(column).type.value_type if field.name != "id"]


# --- a release ---------------------------------------------------------------------------------


def _released(con: DuckDBPyConnection, dataset: Dataset) -> Iterator[str]:
    """The statements that create the views of a release, with the columns of a data set's views.

    Columns that a release lacks are null.
    """
    own = [field for field in IMAGES_SCHEMA if field.name not in ("bytes", "uri", "offset", "length")]
    locator = [IMAGES_SCHEMA.field(name) for name in ("offset", "length")]
    schema = pa.schema([*own, *(RECORD.field(name) for name in ANNOTATIONS), pa.field("tar", pa.string()), *locator])
    yield _raw(con, dataset, "release", dataset.files(dataset.release), schema, places=True)
    columns, names = ", ".join(ANNOTATIONS), ", ".join(identifier(field.name) for field in own)
    tar = quoted(dataset.location(dataset.release) + "/")
    yield f"""CREATE VIEW raw.images AS SELECT {names}, NULL::BIGINT AS bytes, {tar} || tar AS uri, "offset", length,
        filename, file_row_number FROM raw.release"""
    yield f"CREATE VIEW raw.{identifier('node release')} AS SELECT image_id, {columns}, [] AS failures FROM raw.release"
    verdicts = [f"list_transform({name}, lambda a: {_KEPT.format('a.id')}) AS {name}" for name in ANNOTATIONS]
    yield f"""CREATE VIEW raw.verdicts AS
        SELECT image_id, {_KEPT.format("image_id")} AS image, {", ".join(verdicts)}, [] AS failures FROM raw.release"""
    yield _raw(con, dataset, "changes", {}, CHANGES)
    yield _raw(con, dataset, "states", {}, STATES)
    for name, schema in ((INPUTS, INPUTS_SCHEMA), ("probe", PROBE)):
        empty = ", ".join(column for column in empty_columns(con, schema) if column.rpartition(" ")[2] not in _LISTED)
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
