"""Reads files of earlier schema versions, and adds the columns that they lack.

To add a column or a field of an annotation, add it to its schema in engine/schema.py and raise SCHEMA_VERSION. For
older files its value is then null, or empty ('', 0, no elements) if the schema forbids null. For another value, add a
line to `_VALUES`. Files are never rewritten, so a column must never be renamed or removed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from engine import schema
from engine.errors import ConfigError
from engine.layout import IMAGES, INPUTS, JUDGE, LABELS, PROBE, TRUTH

# {column: its value in files that lack it}, if this is not empty. The length -1 stands for the whole file.
_VALUES: dict[str, Any] = {"length": -1}
_TABLES = {
    IMAGES: schema.IMAGES,
    INPUTS: schema.INPUTS,
    PROBE: schema.PROBE,
    LABELS: schema.RECORD,
    TRUTH: schema.RECORD,
    JUDGE: schema.VERDICTS,
}
_VERSION, _OLDEST = "schema_version", "oldest_version"


def check_version(what: str, header: Mapping[str, Any]) -> None:
    """Raise ConfigError if a header has no schema version, or a later one than this engine reads.

    `what`: the name of the data set or release in the message.
    """
    version = header.get(_VERSION)
    if not isinstance(version, int) or not 1 <= version <= schema.SCHEMA_VERSION:
        raise ConfigError(
            f"'{what}' has schema version {version}, this engine reads 1 to {schema.SCHEMA_VERSION}: open it with the "
            "version that wrote it, or a later one."
        )


def has_older_files(header: Mapping[str, Any]) -> bool:
    """Whether some files of this data set or release may lack columns of the current schema."""
    return bool(header.get(_OLDEST, header.get(_VERSION, schema.SCHEMA_VERSION)) < schema.SCHEMA_VERSION)


def raised(header: Mapping[str, Any]) -> dict[str, Any]:
    """The header for writing to a data set: with the current schema version, and the oldest version of its files."""
    if header[_VERSION] == schema.SCHEMA_VERSION:
        return dict(header)
    return {**header, _VERSION: schema.SCHEMA_VERSION, _OLDEST: header.get(_OLDEST, header[_VERSION])}


def lacking(path: str, found: pa.Schema, columns: Sequence[str] | None = None) -> pa.Schema | None:
    """The schema that a committed file should have. None if the file has all columns and fields of it.

    `found`: the schema of the file. `columns`: if given, look only at these.
    """
    wanted = _schema_of(path, found)
    if wanted is None or found.equals(wanted):
        return None
    fields = [field for field in wanted if columns is None or field.name in columns]
    if all(field.name in found.names and found.field(field.name).type == field.type for field in fields):
        return None
    return pa.schema(fields)


def completed(table: pa.Table, wanted: pa.Schema) -> pa.Table:
    """The table with every column and field of `wanted`, in that order. Other columns of the table come after them."""
    arrays, fields = [], []
    for field in wanted:
        present = field.name in table.column_names
        arrays.append(
            _with_fields(_whole(table.column(field.name)), field.type) if present else _filled(field, table.num_rows)
        )
        fields.append(field)
    for name in table.column_names:
        if name not in wanted.names:
            arrays.append(_whole(table.column(name)))
            fields.append(table.schema.field(name))
    return pa.Table.from_arrays(arrays, schema=pa.schema(fields))


def _schema_of(path: str, found: pa.Schema) -> pa.Schema | None:
    """The current schema for a file. None if its table has no schema version.

    It follows from the folder; for answers of nodes, from the columns.
    """
    folder, _, name = path.partition("/")
    if name.endswith(".changes"):
        return schema.CHANGES
    if not name.endswith(".parquet"):
        return None
    if folder in _TABLES:
        return _TABLES[folder]
    if "text_key" in found.names and "tokens" in found.names:
        return schema.PARSE
    return schema.RECORD if {"image_id", "regions", "failures"} <= set(found.names) else None


def _whole(column: pa.ChunkedArray) -> pa.Array:
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)


def _with_fields(array: pa.Array, kind: pa.DataType) -> pa.Array:
    """The values converted to `kind`. Fields that structs in them lack are added at any depth."""
    if array.type == kind:
        return array
    if pa.types.is_list(kind):
        offsets = array.offsets.to_numpy()
        values = array.values.slice(offsets[0], offsets[-1] - offsets[0])
        moved = pa.array((offsets - offsets[0]).astype(np.int32))
        return pa.ListArray.from_arrays(moved, _with_fields(values, kind.value_type), type=kind)
    if pa.types.is_struct(kind):
        present = {field.name: values for field, values in zip(array.type, array.flatten(), strict=True)}
        fields = list(kind)
        made = [
            _with_fields(present[field.name], field.type) if field.name in present else _filled(field, len(array))
            for field in fields
        ]
        return pa.StructArray.from_arrays(made, fields=fields)
    return array.cast(kind)


def _filled(field: pa.Field, rows: int) -> pa.Array:
    """The values of a column that a file lacks: null if allowed, otherwise empty or from `_VALUES`."""
    if field.nullable:
        return pa.nulls(rows, field.type)
    if pa.types.is_list(field.type):
        return pa.ListArray.from_arrays(pa.array(np.zeros(rows + 1, np.int32)), _none(field.type), type=field.type)
    if pa.types.is_struct(field.type):
        return pa.StructArray.from_arrays([_filled(inner, rows) for inner in field.type], fields=list(field.type))
    empty = "" if pa.types.is_string(field.type) else 0
    return pa.array([_VALUES.get(field.name, empty)] * rows, field.type)


def _none(kind: pa.DataType) -> pa.Array:
    return pa.array([], kind.value_type)
