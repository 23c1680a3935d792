"""One schema for what a specialist wrote and for the merged record, as Arrow and as records.

Boxes are float pixels of the upright image (EXIF applied), x1 < x2 to the right, y1 < y2 downwards.
Lists and struct fields are never null; `score` alone is null, for human annotations. Scores are float64:
a float32 0.7 reads back below 0.7.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

SCHEMA_VERSION = 1

GRANULARITIES = ("brief", "detailed", "more_detailed")
REGION_KINDS = ("object", "text")
REGION_TEXT_GRANULARITIES = ("brief", "ocr", "candidate")


def _required(name: str, kind: pa.DataType) -> pa.Field:
    return pa.field(name, kind, nullable=False)


def _list(kind: pa.DataType) -> pa.DataType:
    return pa.list_(pa.field("element", kind, nullable=False))


STRINGS = _list(pa.string())

_COMMON = [
    _required("producer", pa.string()),
    _required("round", pa.int32()),
    pa.field("score", pa.float64()),
    _required("score_kind", pa.string()),
    _required("parents", STRINGS),
]

TEXT = pa.struct(
    [
        _required("id", pa.string()),
        _required("granularity", pa.string()),
        _required("text", pa.string()),
        _required("text_key", pa.string()),
        *_COMMON,
    ]
)
REGION = pa.struct(
    [
        _required("id", pa.string()),
        _required("kind", pa.string()),
        _required("label", pa.string()),
        _required("x1", pa.float32()),
        _required("y1", pa.float32()),
        _required("x2", pa.float32()),
        _required("y2", pa.float32()),
        _required("quad", _list(pa.float32())),
        _required("rle", pa.string()),
        _required("merged_into", pa.string()),
        _required("support", STRINGS),
        *_COMMON,
    ]
)
REGION_TEXT = pa.struct(
    [
        _required("id", pa.string()),
        _required("region_id", pa.string()),
        _required("granularity", pa.string()),
        _required("text", pa.string()),
        *_COMMON,
    ]
)
PHRASE = pa.struct(
    [
        _required("id", pa.string()),
        _required("text_id", pa.string()),
        _required("char_start", pa.int32()),
        _required("char_end", pa.int32()),
        _required("region_ids", STRINGS),
        *_COMMON,
    ]
)
TAG = pa.struct([_required("id", pa.string()), _required("label", pa.string()), *_COMMON])
IMAGE_SCORE = pa.struct(
    [_required("id", pa.string()), _required("name", pa.string()), _required("value", pa.float64()), *_COMMON]
)
FAILURE = pa.struct(
    [
        _required("component", pa.string()),
        _required("reason", pa.string()),
        _required("error", pa.string()),
        _required("attempts", pa.int32()),
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
        _required("image_id", pa.string()),
        *(_required(name, _list(kind)) for name, kind in ANNOTATIONS.items()),
        _required("failures", _list(FAILURE)),
    ]
)

SOURCE = pa.struct([_required("source", pa.string()), _required("uri", pa.string())])

IMAGES = pa.schema(
    [
        _required("image_id", pa.string()),
        _required("sources", _list(SOURCE)),
        _required("width", pa.int32()),  # upright, after EXIF
        _required("height", pa.int32()),
        _required("format", pa.string()),  # as decoded: JPEG, PNG, ...; never guessed from the name
        _required("licence", pa.string()),
        _required("split", pa.string()),
        _required("bytes", pa.int64()),
        _required("uri", pa.string()),  # the locator: a file, or offset and length inside a shard tar
        _required("offset", pa.int64()),
        _required("length", pa.int64()),  # -1: the whole file
    ]
)

# What was listed: one row an input, labels as the source has them.
INPUTS = pa.schema(
    [
        _required("source", pa.string()),
        _required("uri", pa.string()),
        _required("fingerprint", pa.string()),  # size and time or etag: whether a listed file changed
        _required("licence", pa.string()),
        _required("frame", pa.string()),  # of the labels: stored, upright, or auto
        _required("frame_width", pa.int32()),  # the size the labels were made on, 0 unknown
        _required("frame_height", pa.int32()),
        *(_required(name, _list(kind)) for name, kind in ANNOTATIONS.items()),
    ]
)

# What each input turned out to be; labels upright. A row with failures is quarantined.
PROBE = pa.schema(
    [
        *(INPUTS.field(name) for name in ("source", "uri", "fingerprint", "licence")),
        *(IMAGES.field(name) for name in ("image_id", "width", "height", "format", "bytes")),
        *(RECORD.field(name) for name in (*ANNOTATIONS, "failures")),
    ]
)

COMPLEXITY = pa.struct([_required(name, pa.float64()) for name in ("paper", "mean", "max")])
CHUNK = pa.struct(
    [
        _required("char_start", pa.int32()),  # code points, end exclusive
        _required("char_end", pa.int32()),
        _required("head", pa.string()),  # the head noun as written, lower case
        _required("plural", pa.bool_()),
        _required("text", pa.string()),  # exactly text[char_start:char_end]
    ]
)
PARSE = pa.schema(
    [
        _required("text_key", pa.string()),
        _required("tokens", pa.int32()),  # without punctuation and spaces
        _required("raw_tokens", pa.int32()),
        _required("sentences", pa.int32()),
        *(
            _required(name, STRINGS)
            for name in ("objects", "objects_paper", "attributes", "attributes_paper", "actions", "proper_nouns")
        ),
        _required("object_complexity", COMPLEXITY),
        _required("action_complexity", COMPLEXITY),
        _required("chunks", _list(CHUNK)),
        _required("failures", _list(FAILURE)),
    ]
)

VERDICT = pa.struct(
    [
        _required("id", pa.string()),
        _required("kept", pa.bool_()),
        _required("rule", pa.string()),  # '' when kept
        pa.field("value", pa.float64()),
        pa.field("threshold", pa.float64()),
    ]
)
VERDICTS = pa.schema(
    [
        _required("image_id", pa.string()),
        _required("image", VERDICT),
        *(_required(name, _list(VERDICT)) for name in ANNOTATIONS),
        _required("failures", _list(FAILURE)),
    ]
)


# --- records at the edge: what specialists read and write ------------------------------------


@dataclass(slots=True)
class Annotation:
    """What every annotation carries. A specialist leaves `producer` and `round` to the worker.

    `id` may be left empty (the worker numbers it) or be a local name without a slash ("0"), so that
    other annotations of the same answer can refer to it; the worker makes it "<producer>/0".
    A reference that holds a slash names an annotation of another producer.
    """

    id: str = field(default="", kw_only=True)
    producer: str = field(default="", kw_only=True)
    round: int = field(default=0, kw_only=True)
    score: float | None = field(default=None, kw_only=True)
    score_kind: str = field(default="", kw_only=True)
    parents: list[str] = field(default_factory=list, kw_only=True)


@dataclass(slots=True)
class Text(Annotation):
    text: str
    granularity: str
    text_key: str = ""  # set by the worker


@dataclass(slots=True)
class Region(Annotation):
    x1: float
    y1: float
    x2: float
    y2: float
    label: str = ""
    kind: str = "object"
    quad: list[float] = field(default_factory=list)  # 8 numbers, clockwise from top left, or none
    rle: str = ""  # compressed COCO run-length counts of the whole upright image
    merged_into: str = ""
    support: list[str] = field(default_factory=list)


@dataclass(slots=True)
class RegionText(Annotation):
    region_id: str
    text: str
    granularity: str = "brief"


@dataclass(slots=True)
class Phrase(Annotation):
    """The words text[char_start:char_end] (code points) name the regions."""

    text_id: str
    char_start: int
    char_end: int
    region_ids: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Tag(Annotation):
    label: str


@dataclass(slots=True)
class ImageScore(Annotation):
    name: str
    value: float


@dataclass(slots=True)
class Failure:
    component: str
    reason: str
    error: str
    attempts: int = 1


@dataclass(slots=True)
class Chunk:
    char_start: int
    char_end: int
    head: str
    plural: bool
    text: str


@dataclass(slots=True)
class Complexity:
    """Degree in the undirected dependency tree: per-sentence maximum averaged (paper), mean, maximum."""

    paper: float = 0.0
    mean: float = 0.0
    max: float = 0.0


@dataclass(slots=True)
class Parse:
    """What one text says (paper section 4.2, appendix; rules in docs). `text_key` is set by the worker."""

    tokens: int
    raw_tokens: int
    sentences: int
    objects: list[str]
    objects_paper: list[str]
    attributes: list[str]
    attributes_paper: list[str]
    actions: list[str]
    proper_nouns: list[str]
    object_complexity: Complexity
    action_complexity: Complexity
    chunks: list[Chunk]
    text_key: str = ""
    failures: list[Failure] = field(default_factory=list)


@dataclass(slots=True)
class Answer:
    """What one specialist says of one image. Empty is an answer too."""

    texts: list[Text] = field(default_factory=list)
    regions: list[Region] = field(default_factory=list)
    region_texts: list[RegionText] = field(default_factory=list)
    phrases: list[Phrase] = field(default_factory=list)
    tags: list[Tag] = field(default_factory=list)
    image_scores: list[ImageScore] = field(default_factory=list)


@dataclass(slots=True)
class Sample:
    """One image as a specialist sees it: pixels if it needs them, and the annotations it needs.

    Regions that were merged into another are not shown, except to who needs `boxes`.
    """

    image_id: str
    width: int
    height: int
    pixels: npt.NDArray[np.uint8] | None = None  # height x width x 3, RGB, upright
    texts: list[Text] = field(default_factory=list)
    regions: list[Region] = field(default_factory=list)
    region_texts: list[RegionText] = field(default_factory=list)
    phrases: list[Phrase] = field(default_factory=list)
    tags: list[Tag] = field(default_factory=list)
    image_scores: list[ImageScore] = field(default_factory=list)
    parse: Mapping[str, Parse] = field(default_factory=dict)  # by text_key


COLUMN_CLASSES: dict[str, type[Annotation]] = {
    "texts": Text,
    "regions": Region,
    "region_texts": RegionText,
    "phrases": Phrase,
    "tags": Tag,
    "image_scores": ImageScore,
}


def text_key(text: str) -> str:
    """The digest that joins a text to its parse: 16 hex digits of sha256 of its UTF-8."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def record_table(rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Rows as RECORD; columns a row does not name are empty lists."""
    arrays = [pa.array([row["image_id"] for row in rows], pa.string())]
    for column in list(RECORD)[1:]:
        lists = [row.get(column.name, ()) for row in rows]
        # Arrow takes a tenth of a millisecond to make ready for structs: most columns of most answers are empty.
        arrays.append(pa.array(lists, column.type) if any(lists) else _empty_lists(column.type, len(rows)))
    return pa.Table.from_arrays(arrays, schema=RECORD)


def _empty_lists(kind: pa.DataType, count: int) -> pa.Array:
    return pa.ListArray.from_arrays(pa.array(np.zeros(count + 1, np.int32)), _no_values(kind), type=kind)


@functools.cache
def _no_values(kind: pa.DataType) -> pa.Array:
    return pa.array([], kind.value_type)


def as_row(item: Any) -> dict[str, Any]:
    """A record as the dictionary Arrow takes: its slots by name. Its lists of plain values are not copied."""
    return {name: _plain(getattr(item, name)) for name in _slots(item.__class__)}


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [as_row(item) for item in value] if value and dataclasses.is_dataclass(value[0]) else value
    return as_row(value) if dataclasses.is_dataclass(value) else value


@functools.cache
def _slots(kind: type) -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(kind))
