"""The tables of a data set as Arrow schemas, and functions that turn records into rows of them.

The answer of one specialist and the merged record of all have the same schema, RECORD. Boxes are float pixels of the
upright image (EXIF applied), x1 < x2 to the right, y1 < y2 downwards. Only `score` may be null, because human
annotations have no score. Scores are float64, because 0.7 as a float32 is less than 0.7.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from engine.annotations import (
    COLUMN_CLASSES,
    Annotation,
    Answer,
    Chunk,
    Complexity,
    Failure,
    ImageScore,
    Parse,
    Phrase,
    Region,
    RegionText,
    Relation,
    Sample,
    Tag,
    Text,
    text_key,
)
from engine.pandas_later import import_pandas_later

__all__ = [  # the records: authors of components import them from here
    "COLUMN_CLASSES",
    "Annotation",
    "Answer",
    "Chunk",
    "Complexity",
    "Failure",
    "ImageScore",
    "Parse",
    "Phrase",
    "Region",
    "RegionText",
    "Relation",
    "Sample",
    "Tag",
    "Text",
    "text_key",
]

import_pandas_later()

SCHEMA_VERSION = 3

GRANULARITIES = ("brief", "detailed", "more_detailed")
REGION_KINDS = ("object", "text", "phrase")  # phrase: a box found for a phrase; it does not count as an object
REGION_TEXT_GRANULARITIES = ("brief", "ocr", "candidate")
# Audit images are only for measuring, never for training. `held` images are used for nothing, for example because they
# are near-duplicates of images of several splits.
SPLITS = ("train", "audit-fit", "audit-test", "held")


def required(name: str, kind: pa.DataType) -> pa.Field:
    return pa.field(name, kind, nullable=False)


def _list(kind: pa.DataType) -> pa.DataType:
    return pa.list_(pa.field("element", kind, nullable=False))


STRINGS = _list(pa.string())

_COMMON = [
    required("producer", pa.string()),
    required("round", pa.int32()),
    pa.field("score", pa.float64()),
    required("score_kind", pa.string()),
    required("parents", STRINGS),
]

TEXT = pa.struct(
    [
        required("id", pa.string()),
        required("granularity", pa.string()),
        required("text", pa.string()),
        required("text_key", pa.string()),
        *_COMMON,
    ]
)
REGION = pa.struct(
    [
        required("id", pa.string()),
        required("kind", pa.string()),
        required("label", pa.string()),
        required("x1", pa.float32()),
        required("y1", pa.float32()),
        required("x2", pa.float32()),
        required("y2", pa.float32()),
        required("quad", _list(pa.float32())),
        required("rle", pa.string()),
        required("merged_into", pa.string()),
        required("support", STRINGS),
        *_COMMON,
    ]
)
REGION_TEXT = pa.struct(
    [
        required("id", pa.string()),
        required("region_id", pa.string()),
        required("granularity", pa.string()),
        required("text", pa.string()),
        *_COMMON,
    ]
)
PHRASE = pa.struct(
    [
        required("id", pa.string()),
        required("text_id", pa.string()),
        required("char_start", pa.int32()),
        required("char_end", pa.int32()),
        required("region_ids", STRINGS),
        *_COMMON,
    ]
)
TAG = pa.struct([required("id", pa.string()), required("label", pa.string()), *_COMMON])
IMAGE_SCORE = pa.struct(
    [
        required("id", pa.string()),
        required("name", pa.string()),
        required("value", pa.float64()),
        required("code", pa.string()),  # for values that are no numbers: a perceptual hash, a language
        *_COMMON,
    ]
)
FAILURE = pa.struct(
    [
        required("component", pa.string()),
        required("reason", pa.string()),
        required("error", pa.string()),
        required("attempts", pa.int32()),
    ]
)

# The annotation columns, in the order every file has them. `failures` is not an annotation.
ANNOTATIONS: dict[str, pa.DataType] = {
    "texts": TEXT,
    "regions": REGION,
    "region_texts": REGION_TEXT,
    "phrases": PHRASE,
    "tags": TAG,
    "image_scores": IMAGE_SCORE,
}

RECORD = pa.schema(
    [
        required("image_id", pa.string()),
        *(required(name, _list(kind)) for name, kind in ANNOTATIONS.items()),
        required("failures", _list(FAILURE)),
    ]
)

SOURCE = pa.struct([required("source", pa.string()), required("uri", pa.string())])

IMAGES = pa.schema(
    [
        required("image_id", pa.string()),
        required("sources", _list(SOURCE)),
        required("width", pa.int32()),  # upright, after EXIF
        required("height", pa.int32()),
        required("format", pa.string()),  # from the content, not from the name: JPEG, PNG, ...
        required("licence", pa.string()),
        required("split", pa.string()),
        required("bytes", pa.int64()),
        required("uri", pa.string()),  # a file, or a tar in which offset and length give the place of the image
        required("offset", pa.int64()),
        required("length", pa.int64()),  # -1: the whole file
    ]
)

# One row for each change by a refinement round. `old` is '' for an added region, `new` is '' for a dropped one.
CHANGES = pa.schema(
    [
        required("image_id", pa.string()),
        required("round", pa.int32()),
        required("rule", pa.string()),
        required("old", pa.string()),
        required("new", pa.string()),
        required("old_label", pa.string()),
        required("new_label", pa.string()),
        pa.field("value", pa.float64()),
        pa.field("threshold", pa.float64()),
    ]
)

# One row for each listed input. Labels are as the source has them.
INPUTS = pa.schema(
    [
        required("source", pa.string()),
        required("uri", pa.string()),
        required("offset", pa.int64()),  # position in a container (a tar); 0 for a plain file
        required("length", pa.int64()),  # -1: the whole file
        required("fingerprint", pa.string()),  # size and time, or etag: shows whether the file changed
        required("licence", pa.string()),
        required("frame", pa.string()),  # frame of the labels' coordinates: stored, upright, or auto
        required("frame_width", pa.int32()),  # size of the image on which the labels were made; 0 if unknown
        required("frame_height", pa.int32()),
        required("reason", pa.string()),  # why the input is no image; '' unless that is clear without reading it
        required("error", pa.string()),  # the same as a sentence
        *(required(name, _list(kind)) for name, kind in ANNOTATIONS.items()),
    ]
)

# One row for each probed input. Labels are upright. A row with failures is quarantined.
PROBE = pa.schema(
    [
        *(INPUTS.field(name) for name in ("source", "uri", "offset", "length", "fingerprint", "licence")),
        *(IMAGES.field(name) for name in ("image_id", "width", "height", "format", "bytes")),
        required("phash", pa.string()),  # engine.images.perceptual_hash; '' without an audit split
        # Only for a rotated photo whose source does not name the frame of its labels: the frame that has the labels'
        # size (stored, upright, or both, which is read as upright). '' otherwise.
        required("fits", pa.string()),
        required("left_out", _list(pa.string())),  # one reason for each of the source's labels that was left out
        *(RECORD.field(name) for name in (*ANNOTATIONS, "failures")),
    ]
)

COMPLEXITY = pa.struct([required(name, pa.float64()) for name in ("paper", "mean", "max")])
CHUNK = pa.struct(
    [
        required("char_start", pa.int32()),  # code points, end exclusive
        required("char_end", pa.int32()),
        required("head", pa.string()),  # the head noun as it is in the text, in lower case
        required("plural", pa.bool_()),
        required("text", pa.string()),  # exactly text[char_start:char_end]
    ]
)
RELATION = pa.struct([required(name, pa.string()) for name in ("verb", "role", "noun")])  # role: subject or object
PARSE = pa.schema(
    [
        required("text_key", pa.string()),
        required("tokens", pa.int32()),  # without punctuation and spaces
        required("raw_tokens", pa.int32()),
        required("sentences", pa.int32()),
        *(
            required(name, STRINGS)
            for name in ("objects", "objects_paper", "attributes", "attributes_paper", "actions", "proper_nouns")
        ),
        required("object_complexity", COMPLEXITY),
        required("action_complexity", COMPLEXITY),
        required("chunks", _list(CHUNK)),
        pa.field("relations", _list(RELATION)),  # null: parsed by schema version 2 or earlier, which found none
        required("failures", _list(FAILURE)),
    ]
)

VERDICT = pa.struct(
    [
        required("id", pa.string()),
        required("kept", pa.bool_()),
        required("rule", pa.string()),  # '' if kept
        pa.field("value", pa.float64()),
        pa.field("threshold", pa.float64()),
    ]
)
VERDICTS = pa.schema(
    [
        required("image_id", pa.string()),
        required("image", VERDICT),
        *(required(name, _list(VERDICT)) for name in ANNOTATIONS),
        required("failures", _list(FAILURE)),
    ]
)


def record_table(rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """A table with the schema RECORD. Columns that a row lacks become empty lists."""
    return table_of(rows, RECORD)


def table_of(rows: Sequence[Mapping[str, Any]], schema: pa.Schema) -> pa.Table:
    """A table of these rows. List columns that a row lacks become empty lists."""
    arrays = []
    for column in schema:
        listed = pa.types.is_list(column.type)
        values = [row.get(column.name, ()) for row in rows] if listed else [row[column.name] for row in rows]
        arrays.append(array_of(values, column.type))
    return pa.Table.from_arrays(arrays, schema=schema)


def array_of(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """An Arrow array of these values.

    Converting structs costs Arrow 0.1 ms even without rows, and most columns are empty, so empty lists are made apart.
    """
    if pa.types.is_list(kind) and not any(values):
        return _empty_lists(kind, len(values))
    return pa.array(values, kind)


def _empty_lists(kind: pa.DataType, count: int) -> pa.Array:
    return pa.ListArray.from_arrays(pa.array(np.zeros(count + 1, np.int32)), _no_values(kind), type=kind)


@functools.cache
def _no_values(kind: pa.DataType) -> pa.Array:
    return pa.array([], kind.value_type)


def as_row(item: Any) -> dict[str, Any]:
    """A dataclass record as a dictionary for Arrow. Lists of plain values are not copied."""
    return {name: _plain(getattr(item, name)) for name in _slots(item.__class__)}


_SIMPLE = frozenset({str, float, int, bool, type(None)})


def _plain(value: Any) -> Any:
    # Checked first, because nearly all values are simple and is_dataclass is six times slower.
    if value.__class__ in _SIMPLE:
        return value
    if isinstance(value, list):
        return [as_row(item) for item in value] if value and dataclasses.is_dataclass(value[0]) else value
    return as_row(value) if dataclasses.is_dataclass(value) else value


@functools.cache
def _slots(kind: type) -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(kind))
