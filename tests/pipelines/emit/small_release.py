"""Writes a finished release of drawn images in one line.

It uses only shard.py, manifest.py and card.py of pipelines/emit, so that a test can write what the engine itself
would never emit.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from engine.images.decode import EXTENSIONS, image_id
from engine.reading.accounting import Account
from engine.reading.release_manifest import Manifest
from engine.schema import IMAGES
from engine.storage.commits import File, Record
from engine.storage.files import sha256_file
from model.pairs.options import PairOptions
from pipelines.emit.card import card
from pipelines.emit.manifest import release_manifest
from pipelines.emit.shard import release_rows, write_shard
from pipelines.emit.verifiers.records import count_annotations
from pipelines.emit.writers import FORMATS
from pipelines.emit.writers.format import Shard
from tests.builders import Row, image_score, phrase, record, region, region_text, row, tag, text

Item = tuple[bytes, Row]


def drawn(image_format: str = "JPEG", shade: int = 0, orientation: int = 0) -> bytes:
    """A 60 x 40 image file; `orientation` is the EXIF tag."""
    from PIL import Image

    file, exif = io.BytesIO(), Image.Exif()
    if orientation:
        exif[274] = orientation
    Image.new("RGB", (60, 40), (shade, 90, 20)).save(file, image_format, exif=exif)
    return file.getvalue()


def annotated(data: bytes, **columns: Any) -> Item:
    return data, row(image_id(data), **columns)


def full(data: bytes) -> Item:
    """An image with all kinds of annotation, by people (null score) and by a model."""
    return annotated(
        data,
        texts=[text("A cat on a mat, 35 °C.", "brief", id="people/0", score=None), text("Zwei Kätzchen", id="m/0")],
        regions=[region((1, 2, 30.5, 38), id="people/1", score=None, score_kind=""), region((0, 0, 20, 20), id="m/1")],
        region_texts=[region_text("m/1", id="m/2")],
        phrases=[phrase("people/0", 0, 5, ["people/1", "m/1"], id="m/3")],
        tags=[tag(id="m/4")],
        image_scores=[image_score(value=0.25, id="m/5")],
    )


def mixed() -> list[Item]:
    """A jpg and a rotated png without annotations, and a webp with all kinds."""
    first, second = annotated(drawn("JPEG", 1)), annotated(drawn("PNG", 2, orientation=6))
    return [first, second, full(drawn("WEBP", 3))]


def table(items: Sequence[Item]) -> pa.Table:
    from engine.images.decode import probe

    heads = [probe(data) for data, _ in items]
    images = [
        {"image_id": image["image_id"], "sources": [{"source": "drawn", "uri": f"{n}.img"}], "format": head.format}
        | {"width": head.width, "height": head.height, "licence": "", "split": "train"}
        | {"bytes": len(data), "uri": "", "offset": 0, "length": -1}
        for n, ((data, image), head) in enumerate(zip(items, heads, strict=True))
    ]
    return release_rows(record(*(image for _, image in items)), pa.Table.from_pylist(images, schema=IMAGES))


def write(
    folder: Path,
    *shards: Sequence[Item],
    recipe: Mapping[str, Any] | None = None,
    options: PairOptions | None = None,
) -> Path:
    """Writes shards, manifest and card of a release without faults."""
    folder.mkdir(parents=True, exist_ok=True)
    records = []
    for number, items in enumerate(shards):
        content = {image_id(data): data for data, _ in items}
        names = shard_names(number)
        paths = {part: str(folder / name) for part, name in names.items()}
        rows = table(items)
        written = write_shard(paths, Shard(rows, names["tar"]), content.__getitem__, options)
        files = {
            part: File(path, sha256_file(path), written.rows[part], Path(path).stat().st_size)
            for part, path in paths.items()
            if written.rows[part]
        }
        counts = count_annotations(rows.to_pylist())
        counts.update(f"images.{EXTENSIONS[image['format']]}" for image in rows.to_pylist())
        records.append(Record(number, 0, files, counts={**counts, "lost": [], "pairs": written.pairs.totals()}))
    manifest = manifest_of(records, folder.name, recipe)
    (folder / "README.md").write_text(card(manifest), encoding="utf-8")
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def shard_names(number: int) -> dict[str, str]:
    return {part: form.file_name(number) for part, form in FORMATS.items()}


def manifest_of(records: Sequence[Record], name: str = "v1", recipe: Mapping[str, Any] | None = None) -> Manifest:
    """The manifest of a release with these shards, without nodes or an account."""
    nothing = Account(inputs=0, outcomes={}, filtered_by={}, annotations={}, shards={}, failures=[])
    versions = {"pillow": "13.0.0"}
    return release_manifest(
        name, "c0ffee", records, [], recipe=recipe or {}, nodes=[], versions=versions, account=nothing
    )
