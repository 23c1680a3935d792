"""A release in the formats of object detection, with everything that is difficult in boxes, and ways to damage it."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from engine.records import masks
from engine.storage.files import sha256_file
from pipelines.emit.verifiers.check import Check, ShardContent, Verifier
from tests.builders import region, text
from tests.pipelines.emit.small_release import Item, annotated, drawn, full, write

FORMATS = ("coco", "yolo", "imagefolder")
LABELS = ["cat", 'Kätzchen "süß" \\ 猫', "yes", "null", "1.5", "two words, comma"]
RECIPE = {"emit": {"formats": list(FORMATS), "label_list": LABELS}}


@cache
def blank(width: int, height: int, image_format: str = "PNG", shade: int = 0) -> bytes:
    from PIL import Image

    file = io.BytesIO()
    Image.new("RGB", (width, height), (shade, 9, 9)).save(file, image_format)
    return file.getvalue()


def mask(*boxes: tuple[int, int, int, int], width: int = 60, height: int = 40) -> str:
    filled = np.zeros((height, width), np.uint8)
    for x1, y1, x2, y2 in boxes:
        filled[y1:y2, x1:x2] = 1
    return masks.encode(filled)


def shapes() -> Item:
    """Masks of one and of two parts, a quad that leaves the image, a crowd, and a box without any of them."""
    return annotated(
        blank(60, 40, shade=1),
        regions=[
            region((2, 3, 12, 13), rle=mask((2, 3, 12, 13)), id="m/1"),
            region((20, 3, 50, 20), rle=mask((20, 3, 30, 20), (40, 5, 50, 15)), id="m/2"),
            region((45, 20, 60, 40), quad=[50.0, 20.0, 65.0, 30.0, 55.0, 45.0, 45.0, 35.0], id="m/3"),
            region((5, 20, 40, 39), rle=mask((5, 20, 40, 39)), score=None, score_kind="crowd", id="m/4"),
            region((1.25, 2.5, 3.75, 4.5), id="m/5"),
        ],
    )


def edges() -> Item:
    """Boxes at the edge of an image of 4,000 pixels, of one pixel, of a fraction of a pixel, and twice the same."""
    return annotated(
        blank(4000, 50),
        regions=[
            region((3990, 40, 4000, 50), id="m/1"),
            region((3999, 49, 4000, 50), score=None, score_kind="", id="m/2"),
            region((1234.5678, 7.25, 1234.6, 7.5), id="m/3"),
            region((-5, -5, 4010.5, 60), label="yes", score=None, score_kind="", id="people/4"),
            region((3990, 40, 4000, 50), id="m/5"),
        ],
    )


def names() -> Item:
    """One object with each label, one with a label that is not in the list, and a box of no area."""
    regions = [region((n, n, n + 10, n + 10), label=label, id=f"m/{n}") for n, label in enumerate(LABELS)]
    regions.append(region((3, 3, 20, 20), label="unlisted", id="m/90"))
    outside = region((60, 5, 70, 9), score=None, score_kind="", id="people/91")
    return annotated(
        blank(60, 40, "WEBP"),
        regions=[*regions, outside],
        texts=[text('A "cat" \\ 猫\nand more', id="m/92"), text("Zwei", "detailed", id="m/93")],
    )


def many(count: int = 2000) -> Item:
    regions = [region((n % 50, n // 50, n % 50 + 7, n // 50 + 8), id=f"m/{n}") for n in range(count)]
    return annotated(blank(100, 100, shade=3), regions=regions)


def boxes_release(folder: Path, *, recipe: dict[str, Any] | None = None) -> Path:
    """The first image has no regions; one image is turned by EXIF; one is in a format that Ultralytics ignores."""
    first = [annotated(drawn("JPEG", 1, orientation=6)), shapes(), edges(), many()]
    second = [names(), full(drawn("GIF", 4)), annotated(blank(9, 30), regions=[region((0, 0, 9, 9))])]
    return write(folder, first, second, [full(drawn("JPEG", 7))], recipe=recipe or RECIPE, splits=SPLITS)


SPLITS = ["train", "train", "valid"]


def copied(release: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(release, tmp_path / release.name))


def records(folder: Path, split: str = "train", number: int = 0) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(folder / f"{split}-{number:05d}.parquet").to_pylist()
    return rows


def checked(folder: Path, verifier: type[Verifier], shards: Sequence[tuple[str, int]] = ()) -> Check:
    """The check of one verifier, after the manifest was made to agree with the sizes and digests of all files."""
    manifest = json.loads((folder / "manifest.json").read_text())
    for file in manifest["files"]:
        path = folder / file["name"]
        if path.exists():
            file["bytes"], file["sha256"] = path.stat().st_size, sha256_file(str(path))
    made = verifier(folder, manifest)
    for split, number in shards or (("train", 0), ("train", 1), ("valid", 0)):
        made.read(ShardContent(split, f"{number:05d}", rows=list(records(folder, split, number))))
    made.finish()
    return made.check


def change_manifest(folder: Path, *path: str, value: Any) -> None:
    """Sets a value in the manifest: change_manifest(folder, "formats", "coco", "left_out", value={})."""
    file = folder / "manifest.json"
    manifest = json.loads(file.read_text())
    inner = manifest
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    file.write_text(json.dumps(manifest))


def change_rows(folder: Path, name: str, by: int) -> None:
    """Changes the number of rows that the manifest states for a file."""
    file = folder / "manifest.json"
    manifest = json.loads(file.read_text())
    (entry,) = [one for one in manifest["files"] if one["name"] == name]
    entry["rows"] += by
    file.write_text(json.dumps(manifest))
