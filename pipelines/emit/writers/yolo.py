"""labels/<split>/<image_id>.txt and data.yaml, for Ultralytics and others: boxes or polygons of a closed vocabulary.

A line is `class x_centre y_centre width height`, or with polygons `class x y x y ...`, in shares of the upright image.
Each image has a file; it is empty if the image has no objects. Readers find it by the path of the image, with `labels`
in place of `images`.

Three rules of Ultralytics (ultralytics/data/utils.py and dataset.py, 8.4.190) decide what is written:

* It ignores an image whose label file has boxes and polygons, and drops all polygons if any image has boxes only. So
  with polygons, an object without a mask becomes a polygon too: its quad, or the corners of its box.
* It removes lines that are equal as float32. Such objects are left out here and counted, as `duplicate`.
* It ignores images of other formats and images with a side below 10 pixels. Their objects are left out and counted, as
  `image_format` and `image_too_small`, and such images have no label file.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, BinaryIO

import numpy as np
import yaml

from engine.layout import LOOSE_IMAGES, RELEASE_SPLITS
from engine.reading.release_manifest import Manifest
from engine.records.boxes import Box, corners_of
from model.pairs.polygons import outline
from pipelines.emit.objects import Object, objects
from pipelines.emit.rings import joined
from pipelines.emit.segmentations import shape_of
from pipelines.emit.writers.format import Format, Merge, Sample, Shard

LABELS, DATA = "labels", "data.yaml"
SMALLEST_SIDE = 10  # pixels
UNREAD_FORMATS = frozenset(("GIF", "PPM"))
_DECIMALS = 8  # of a share, at most; the readers' float32 has fewer


class YoloWriter:
    """Writes the label file of each image. A shard has no other file, because classes come from emit.label_list."""

    def __init__(self, file: BinaryIO, shard: Shard) -> None:
        self._put, self._polygons = shard.put, shard.yolo_polygons
        self._classes = {label: number for number, label in enumerate(shard.labels)}
        self.left_out: Counter[str] = Counter()

    def add(self, sample: Sample) -> None:
        row = sample.row
        lines, left_out = label_lines(row, self._classes, polygons=self._polygons)
        self.left_out.update(left_out)
        if not unread(row):
            name = f"{LABELS}/{row['split']}/{row['image_id']}.txt"
            self._put(name, "".join(f"{line}\n" for line in lines).encode())

    def finish(self) -> int:
        return 0


def unread(image: Mapping[str, Any]) -> str:
    """The reason why Ultralytics ignores an image; '' if it does not."""
    if image["format"] in UNREAD_FORMATS:
        return "image_format"
    return "image_too_small" if min(image["width"], image["height"]) < SMALLEST_SIDE else ""


def label_lines(
    image: Mapping[str, Any], classes: Mapping[str, int], *, polygons: bool
) -> tuple[list[str], Counter[str]]:
    """The lines of a row of SAMPLE, and the number of left-out annotations by reason."""
    found, left_out = objects(image, classes)
    if reason := unread(image):
        left_out.update([reason] * len(found))
        return [], left_out
    lines: dict[bytes, str] = {}  # by what a reader sees
    for one in found:
        numbers = _polygon(one, image, left_out) if polygons else _centred(one.box, image)
        if not polygons and "0" in numbers[2:]:
            left_out["no_area"] += 1
            continue
        line = " ".join([str(classes[one.region["label"]]), *numbers])
        seen = np.array(line.split(), np.float32).tobytes()
        left_out.update(["duplicate"] if seen in lines else [])
        lines.setdefault(seen, line)
    return list(lines.values()), left_out


def _centred(box: Box, image: Mapping[str, Any]) -> list[str]:
    x1, y1, x2, y2 = box
    return _shares([(x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1], image)


def _polygon(one: Object, image: Mapping[str, Any], left_out: Counter[str]) -> list[str]:
    """The outline of the mask of an object, its quad, or the corners of its box."""
    size = {"width": image["width"], "height": image["height"]}
    shape = shape_of(one, **size)
    left_out.update([shape.fault] if shape.fault else [])
    corners = joined(outline(shape.rle, **size)) if shape.rle else shape.quad or corners_of(one.box)
    return _shares(corners, image)


def _shares(pixels: Sequence[float], image: Mapping[str, Any]) -> list[str]:
    """Coordinates x, y, x, y, ... as shares of the width and the height, without needless zeros."""
    sides = (image["width"], image["height"])
    shares = (f"{value / sides[at % 2]:.{_DECIMALS}f}" for at, value in enumerate(pixels))
    return [share.rstrip("0").rstrip(".") for share in shares]


def merge_yolo(merge: Merge) -> None:
    """Writes data.yaml. Ultralytics needs `train` and `val`, so another split stands in for one that is missing."""
    first = merge.splits[0] if merge.splits else "train"
    splits = {"train": "train", "val": "valid", **({"test": "test"} if "test" in merge.splits else {})}
    used = {key: split if split in merge.splits else first for key, split in splits.items()}
    content: dict[str, str | dict[int, str]] = {key: f"{LOOSE_IMAGES}/{split}" for key, split in used.items()}
    content["names"] = dict(enumerate(merge.labels))
    missing = [f"# No image is in {split}, so {key} is {used[key]}.\n" for key, split in splits.items()]
    missing = [line for line, (key, split) in zip(missing, splits.items(), strict=True) if used[key] != split]
    with merge.file(DATA) as file:
        file.write(("".join(missing) + yaml.safe_dump(content, sort_keys=False, allow_unicode=True)).encode())
        file.rows = len(merge.labels)


def card_section(manifest: Manifest) -> str:
    splits = manifest.get("splits", {})
    if not splits:
        return ""
    polygons = manifest["recipe"].get("emit", {}).get("yolo_polygons", False)
    form = "class x y x y ..., a polygon" if polygons else "class x_centre y_centre width height"
    missing = "" if "valid" in splits else _NO_VALIDATION.format(split=next(iter(splits)))
    return _SECTION.format(name=manifest["name"], form=form, missing=missing)


_NO_VALIDATION = """
This release has no split `valid`, so `val` in `data.yaml` is `images/{split}`: figures measured on it say nothing about
other images.
"""

_SECTION = """\
## YOLO

`labels/<split>/<image_id>.txt` has a line `{form}` for each object, in shares of the upright image. `data.yaml` names
the folders and the classes, which are the labels of `emit.label_list`. Train with `yolo detect train
data={name}/data.yaml` (`yolo segment` for polygons).
{missing}
Ultralytics and supervision turn images upright, except AVIF. Ultralytics ignores GIF, PPM and images with a side below
10 pixels: they have no label file. It writes `labels/<split>.cache`, and it saves a JPEG that does not end with the
marker FF D9 again, in its place. So train on a copy if the release is to stay as it is."""

YOLO = Format(
    YoloWriter,
    merge=merge_yolo,
    files=(DATA, *(f"{LABELS}/{split}/" for split in RELEASE_SPLITS)),
    loose_images=True,
    needs_labels=True,
    verifier="pipelines.emit.verifiers.yolo:YoloVerifier",
    card=card_section,
)
