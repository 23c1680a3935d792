"""A finished release of drawn images in one line; the first image has no annotation at all, unless told otherwise.

Only pipelines/emit/shard.py and card.py are used, so that a test can write what the engine itself would never emit.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from engine.images.decode import image_id
from engine.schema import IMAGES
from engine.storage.commits import File
from engine.storage.files import sha256_file
from model.pairs.pair import Options
from pipelines.emit.card import card
from pipelines.emit.pairs import sum_of_told
from pipelines.emit.shard import ShardFiles, extension_of, manifest, release_rows, shard_names, write_shard
from pipelines.emit.verify import count_annotations
from tests.builders import Row, image_score, phrase, record, region, region_text, row, tag, text

Item = tuple[bytes, Row]


def drawn(image_format: str = "JPEG", shade: int = 0, orientation: int = 0) -> bytes:
    """A 60 x 40 image as it is stored; `orientation` is EXIF's."""
    from PIL import Image

    file, exif = io.BytesIO(), Image.Exif()
    if orientation:
        exif[274] = orientation
    Image.new("RGB", (60, 40), (shade, 90, 20)).save(file, image_format, exif=exif)
    return file.getvalue()


def annotated(data: bytes, **columns: Any) -> Item:
    return data, row(image_id(data), **columns)


def full(data: bytes) -> Item:
    """One of everything, by a person (score null) and by a model."""
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
    """Nothing, nothing, everything; a jpg, a png stored turned, a webp."""
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
    options: Options | None = None,
) -> Path:
    """Shards, manifest and card of a release that is as its manifest says."""
    folder.mkdir(parents=True, exist_ok=True)
    files, rows, told = [], [], []
    for number, items in enumerate(shards):
        content = {image_id(data): data for data, _ in items}
        paths = [folder / name for name in shard_names(number)]
        made = table(items)
        rows += made.to_pylist()
        written = write_shard(ShardFiles(*map(str, paths)), made, content.__getitem__, paths[0].name, options)
        told.append(written.pairs.told())
        held = (len(items), len(items), written.pairs.proven.total())
        files += [
            File(str(path), sha256_file(str(path)), rows_of, path.stat().st_size)
            for path, rows_of in zip(paths, held, strict=True)
            if rows_of
        ]
    said = manifest(
        name=folder.name,
        content="c0ffee",
        counts={"images": 0} | dict(count_annotations(rows)),
        files=files,
        recipe=recipe or {},
        nodes=[],
        lost=[],
        versions={"pillow": "13.0.0"},
        extensions=sorted({extension_of(image["format"]) for image in rows}),
        pairs=sum_of_told(told),
    )
    (folder / "README.md").write_text(card(said), encoding="utf-8")
    (folder / "manifest.json").write_text(json.dumps(said))
    return folder
