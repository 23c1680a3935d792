"""Writes a finished release of drawn images in one line.

It uses only the writers, manifest.py and card.py of pipelines/emit, so that a test can write what the engine itself
would never emit.
"""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from engine.images.decode import EXTENSIONS, image_id
from engine.reading.accounting import Account
from engine.reading.release_manifest import Manifest
from engine.schema import IMAGES
from engine.storage.commits import File, Record
from engine.storage.files import Storage, sha256_file
from model.pairs.options import PairOptions
from pipelines.emit.card import card
from pipelines.emit.figures import shard_figures
from pipelines.emit.loose_files import LooseFiles
from pipelines.emit.manifest import release_manifest
from pipelines.emit.merge import merge_formats
from pipelines.emit.shard import release_rows
from pipelines.emit.verifiers.records import count_annotations
from pipelines.emit.write_shard import write_shard
from pipelines.emit.writers import FORMATS, chosen_formats
from pipelines.emit.writers.format import Shard
from pipelines.release_options import Emit
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


def table(items: Sequence[Item], split: str = "train") -> pa.Table:
    from engine.images.decode import probe

    heads = [probe(data) for data, _ in items]
    images = [
        {
            "image_id": image["image_id"],
            "sources": [{"source": "drawn", "uri": image.get("uri", f"{n}.img")}],
            "format": head.format,
        }
        | {"width": head.width, "height": head.height, "licence": "", "split": "train"}
        | {"bytes": len(data), "uri": "", "offset": 0, "length": -1}
        for n, ((data, image), head) in enumerate(zip(items, heads, strict=True))
    ]
    return release_rows(record(*(image for _, image in items)), pa.Table.from_pylist(images, schema=IMAGES), split)


def write(
    folder: Path,
    *shards: Sequence[Item],
    recipe: Mapping[str, Any] | None = None,
    options: PairOptions | None = None,
    splits: Sequence[str] = (),
) -> Path:
    """Writes shards, manifest and card of a release without faults.

    `recipe`: its `emit.formats` and `emit.label_list` choose what is written. `splits`: of the shards; default: train.
    """
    folder.mkdir(parents=True, exist_ok=True)
    emit = Emit(**(recipe or {}).get("emit", {}))
    numbers: Counter[str] = Counter()
    records = []
    for number, items in enumerate(shards):
        split = splits[number] if splits else "train"
        records.append(
            _write_one(folder, number, Shard(table(items, split), split, numbers[split]), items, emit, options)
        )
        numbers[split] += 1
    storage = Storage(str(folder.parent))
    files, left_out = merge_formats(storage, folder.name, chosen_formats(emit), records, emit.label_list)
    manifest = manifest_of(records, folder.name, recipe, [_released(file) for file in files], left_out)
    (folder / "README.md").write_text(card(manifest), encoding="utf-8")
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def _write_one(
    folder: Path, number: int, shard: Shard, items: Sequence[Item], emit: Emit, options: PairOptions | None
) -> Record:
    """Writes one shard. Parts of formats with a merge are written beside the folder of the release."""
    content = {image_id(data): data for data, _ in items}
    storage = Storage(str(folder.parent))
    loose = LooseFiles(storage, folder.name)
    shard = replace(shard, labels=emit.label_list, resize=emit.qwen2_5_vl, yolo_polygons=emit.yolo_polygons)
    shard = replace(shard, put=loose.put, embeddings={node: _vectors(len(items)) for node in emit.embeddings})
    names = {part: FORMATS[part].file_name(shard) for part in chosen_formats(emit)}
    targets = {
        part: f"{folder.name}/{name}" if name else f"parts-{folder.name}/{number:05d}.{part}"
        for part, name in names.items()
    }
    (folder.parent / f"parts-{folder.name}").mkdir(exist_ok=True)
    paths = {part: storage.path(target) for part, target in targets.items()}
    written = write_shard(paths, shard, content.__getitem__, options)
    files = {
        part: File(targets[part], sha256_file(path), written.rows[part], Path(path).stat().st_size)
        for part, path in paths.items()
        if written.rows[part]
    }
    listed = f"{folder.name}/files-{shard.name}.parquet"
    if count := loose.finish(storage.path(listed)):
        size = Path(storage.path(listed)).stat().st_size
        files["files"] = File(listed, sha256_file(storage.path(listed)), count, size)
    rows = shard.rows.to_pylist()
    counts = count_annotations(rows)
    counts.update(f"images.{EXTENSIONS[image['format']]}" for image in rows)
    counts.update({f"splits.{shard.split}": len(rows)} if rows else {})
    left_out = {part: dict(found) for part, found in written.left_out.items()}
    figures = {"figures": shard_figures(shard.rows, shard.rows)} if rows else {}
    more = {"lost": [], "pairs": written.pairs.totals(), "formats": left_out, **figures}
    return Record(number, 0, files, counts={**counts, **more})


def _vectors(count: int) -> pa.ChunkedArray:
    """Vectors of unit length, each with another direction."""
    values = np.eye(8, dtype=np.float16)[np.arange(count) % 8].reshape(-1)
    return pa.chunked_array([pa.FixedSizeListArray.from_arrays(pa.array(values), 8)])


def _released(file: File) -> File:
    """The file with the path that it has in a data set."""
    return replace(file, path=f"releases/{file.path.removeprefix('releases/')}")


def manifest_of(
    records: Sequence[Record],
    name: str = "v1",
    recipe: Mapping[str, Any] | None = None,
    files: Sequence[File] = (),
    left_out: Mapping[str, Mapping[str, int]] | None = None,
) -> Manifest:
    """The manifest of a release with these shards, without nodes or an account."""
    nothing = Account(inputs=0, outcomes={}, filtered_by={}, annotations={}, shards={}, failures=[])
    versions = {"pillow": "13.0.0"}
    records = [
        replace(record, files={part: _released(file) for part, file in record.files.items()}) for record in records
    ]
    return release_manifest(
        name,
        "c0ffee",
        records,
        files,
        recipe=recipe or {},
        nodes=[],
        versions=versions,
        account=nothing,
        merged_left_out=left_out,
    )
