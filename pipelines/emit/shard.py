"""What a release is made of: samples, tables, pairs, manifest. Pure functions; pipelines/emit/emit.py drives them.

A tar sample is <image_id>.<jpg|png|...> (the original bytes) and <image_id>.json: its record, and the pairs made of
it, which lie in pairs-*.parquet too (docs/decisions/003-release-format.md).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from engine.errors import DamageError, ImageError
from engine.images.decode import EXTENSIONS
from engine.layout import MANIFEST, pair_file, sample_file
from engine.running.graph import Node
from engine.schema import ANNOTATIONS, IMAGES, RECORD, SCHEMA_VERSION, required
from engine.storage.commits import PARQUET, File
from engine.storage.files import Storage
from engine.storage.sealed import read_sealed, seal
from engine.storage.tars import TarWriter
from model.pairs.pair import Options
from pipelines.emit.pairs import PAIR, PairCounts, PairWriter
from pipelines.emit.source_names import released_recipe, released_sources

_IMAGE_COLUMNS = ("image_id", "width", "height", "format", "licence", "split", "sources")

# The record of a sample: with the place in the tar a row of train-*.parquet, with its pairs what the json holds.
SAMPLE = pa.schema([*(IMAGES.field(name) for name in _IMAGE_COLUMNS), *(RECORD.field(name) for name in ANNOTATIONS)])
MEMBER = pa.schema([*SAMPLE, required("pairs", pa.list_(pa.field("element", PAIR, nullable=False)))])
RELEASE = pa.schema(
    [
        *SAMPLE,
        pa.field("tar", pa.string(), nullable=False),
        pa.field("offset", pa.int64(), nullable=False),
        pa.field("length", pa.int64(), nullable=False),
    ]
)


class ShardFiles(NamedTuple):
    """Local files of one release shard, as they are called in its folder or by any other names."""

    tar: str
    parquet: str
    pairs: str


def shard_names(number: int) -> ShardFiles:
    return ShardFiles(sample_file(number, "tar"), sample_file(number, "parquet"), pair_file(number))


def release_rows(kept: pa.Table, images: pa.Table) -> pa.Table:
    """Kept RECORD rows and the IMAGES rows of the same images, as SAMPLE."""
    if not kept["image_id"].equals(images["image_id"]):
        raise ValueError("kept annotations and images are of different images")
    sources = released_sources(images["sources"], SAMPLE.field("sources"))
    own = [sources if name == "sources" else images[name] for name in _IMAGE_COLUMNS]
    columns = own + [kept[name] for name in ANNOTATIONS]
    return pa.table(columns, names=SAMPLE.names).cast(SAMPLE)


def sample_json(row: Mapping[str, Any]) -> bytes:
    """Every field always there, in schema order; a human score is null. ValueError for what JSON has no word for."""
    record = {name: row[name] for name in MEMBER.names}
    return json.dumps(record, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


@dataclass(frozen=True, slots=True)
class Written:
    """What became of a shard's rows: images that were gone (id, reason, error), and their pairs."""

    lost: list[tuple[str, str, str]]
    pairs: PairCounts


def write_shard(
    files: ShardFiles, rows: pa.Table, read: Callable[[str], bytes], tar_name: str, options: Options | None = None
) -> Written:
    """One tar, its table and its pairs, also of no rows. The same rows and bytes give the same files.

    `read` takes an image id; one image is in memory at a time. Where it raises ImageError, the image is left out.
    """
    places: dict[int, tuple[int, int]] = {}
    lost: list[tuple[str, str, str]] = []
    pairs = PairWriter(files.pairs, tar_name, options or Options())
    with open(files.tar, "wb") as file, TarWriter(file) as tar, pairs:
        for number, row in enumerate(rows.to_pylist()):
            try:
                data = read(row["image_id"])
            except ImageError as error:
                lost.append((row["image_id"], error.reason, str(error)))
                continue
            places[number] = tar.add(row["image_id"], extension_of(row["format"]), data)
            row["pairs"] = pairs.add(row, places[number])
            tar.add(row["image_id"], "json", sample_json(row))
    kept = rows.take(pa.array(list(places), pa.int64())) if lost else rows
    located = [[tar_name] * len(places), *([place[part] for place in places.values()] for part in (0, 1))]
    columns = [pa.array(values, field.type) for values, field in zip(located, list(RELEASE)[-3:], strict=True)]
    table = pa.table([*kept.columns, *columns], schema=RELEASE)
    pq.write_table(table, files.parquet, row_group_size=500, **PARQUET)
    return Written(lost, pairs.counts)


def extension_of(image_format: str) -> str:
    return EXTENSIONS[image_format]


CARD = "card_sha256"  # of the manifest: the digest of README.md, which is written from the manifest


def sealed_manifest(written: Mapping[str, Any], card: bytes) -> bytes:
    """As it lies in the release: with the digest of the card, and one of itself."""
    return seal({**written, CARD: hashlib.sha256(card).hexdigest()})


def read_manifest(storage: Storage, folder: str = "") -> dict[str, Any]:
    """FileNotFoundError where no release is finished; DamageError for a manifest that is not as it was written."""
    name = f"{folder}/{MANIFEST}" if folder else MANIFEST
    found = read_sealed(storage, name, "restore it from a backup, or make the release again under another name.")
    files = found.get("files")
    named = isinstance(files, list) and all(isinstance(file, dict) and "name" in file for file in files)
    if not named or not isinstance(found.get("content"), str):
        raise DamageError(f"The manifest '{storage.url}/{name}' names no files: it is not one of a release.")
    return found


def manifest(
    *,
    name: str,
    content: str,
    counts: Mapping[str, int],
    files: Sequence[File],
    recipe: Mapping[str, Any],
    nodes: Sequence[Node],
    lost: Sequence[Sequence[str]],
    versions: Mapping[str, str],
    extensions: Sequence[str],
    accounting: Mapping[str, Any] | None = None,
    pairs: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """What manifest.json says. `content` is the key of all it was made from; `lost`: images that were gone at emit.

    `counts` holds images, each annotation column, and "<column>.<granularity or kind>"; `pairs` is as PairCounts
    tells it.
    """
    return {
        "name": name,
        "content": content,
        "schema_version": SCHEMA_VERSION,
        "counts": dict(counts),
        "pairs": dict(pairs or PairCounts().told()),
        "accounting": dict(accounting or {}),
        "files": [
            {"name": file.path.rsplit("/", 1)[-1], "sha256": file.sha256, "bytes": file.size, "rows": file.rows}
            for file in files
        ],
        "image_extensions": sorted(extensions),
        "schema": [{"name": field.name, "type": str(field.type)} for field in RELEASE],
        "lost": [list(item) for item in lost],
        "recipe": released_recipe(dict(recipe)),
        "nodes": [
            {
                "name": node.name,
                "component": node.component,
                "version": node.version,
                "key": node.key,
                "deterministic": node.deterministic,
            }
            for node in nodes
        ],
        "versions": dict(versions),
    }
