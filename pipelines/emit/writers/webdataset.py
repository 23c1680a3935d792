"""<split>-*.tar, for webdataset and `datasets`. Each image has two members: its original bytes and <image_id>.json.

The json holds the record and the training pairs made from it (docs/decisions/003-release-format.md).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, BinaryIO

import pyarrow as pa

from engine.images.decode import EXTENSIONS
from engine.schema import STRINGS, required
from engine.storage.tars import TarWriter
from model.pairs.pair import PAIRS, Pair
from pipelines.emit.sections.loading import tars_section
from pipelines.emit.writers.format import SAMPLE, Format, Sample, Shard

# A pair in the json. Ids of annotations are enough, because the annotations are in the same record.
PAIR = pa.struct([PAIRS.field(name) for name in ("task", "prompt", "target")] + [required("annotation_ids", STRINGS)])
MEMBER = pa.schema([*SAMPLE, required("pairs", pa.list_(pa.field("element", PAIR, nullable=False)))])

_NAMES = tuple(MEMBER.names)
_JSON = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))


class WebdatasetWriter:
    def __init__(self, file: BinaryIO, shard: Shard) -> None:
        self._tar, self._rows = TarWriter(file), 0
        self._name = f"{shard.name}.tar"

    def add(self, sample: Sample) -> None:
        image_id = sample.row["image_id"]
        sample.uri = self._name
        sample.offset, sample.length = self._tar.add(image_id, EXTENSIONS[sample.row["format"]], sample.data)
        self._tar.add(image_id, "json", sample_json({**sample.row, "pairs": [_pair(pair) for pair in sample.pairs]}))
        self._rows += 1

    def finish(self) -> int:
        self._tar.close()
        return self._rows


WEBDATASET = Format(
    WebdatasetWriter,
    suffix="tar",
    verifier="pipelines.emit.verifiers.webdataset:WebdatasetVerifier",
    card=tars_section,
)


def sample_json(row: Mapping[str, Any]) -> bytes:
    """A row of MEMBER as JSON, with every field in schema order.

    Raises ValueError for NaN and infinity, which JSON lacks.
    """
    return _JSON.encode({name: row[name] for name in _NAMES}).encode()


def _pair(pair: Pair) -> dict[str, Any]:
    """The fields of PAIR, written out because an image may have hundreds of pairs."""
    return {"task": pair.task, "prompt": pair.prompt, "target": pair.target, "annotation_ids": pair.annotation_ids}
