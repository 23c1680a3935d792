"""coco/: the annotations of each split as COCO json, for pycocotools, supervision, torchvision and others.

instances_<split>.json  every object: box, area, mask, category. Crowds have `iscrowd` 1.
captions_<split>.json   every text of an image, if the split has texts.
results_<split>.json    the objects that a model found, with their scores, if the split has such objects.

Boxes are x, y, width, height in pixels of the upright image. `file_name` is the name of the image in images/<split>/,
the folder that readers get as their root of images. Ids count from 1, because pycocotools takes the annotation id 0
for a box without a match. Categories have the same ids in all splits.
"""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from typing import IO, Any, BinaryIO

from engine.reading.release_manifest import Manifest
from pipelines.emit.objects import Object, bbox_of, objects
from pipelines.emit.segmentations import Shape, shape_of
from pipelines.emit.writers.format import Format, Merge, ReleaseFile, Sample, Shard

FOLDER = "coco"
_BLOCK = 1 << 20  # bytes that are copied at once

Json = dict[str, Any]


class CocoWriter:
    """Writes one line for each image of a shard: its file, its objects and its texts. Ids are given later, in merge."""

    def __init__(self, file: BinaryIO, shard: Shard) -> None:
        self._file, self._labels, self._rows = file, frozenset(shard.labels), 0
        self.left_out: Counter[str] = Counter()

    def add(self, sample: Sample) -> None:
        row = sample.row
        found, left_out = objects(row, self._labels, crowds=True)
        shapes = [shape_of(one, row["width"], row["height"]) for one in found]
        self.left_out.update(left_out)
        self.left_out.update(shape.fault for shape in shapes if shape.fault)
        line = {"file_name": sample.file_name, **{name: row[name] for name in ("width", "height", "licence")}}
        line["objects"] = [_object(one, shape, row) for one, shape in zip(found, shapes, strict=True)]
        line["captions"] = [{"caption": text["text"], "granularity": text["granularity"]} for text in row["texts"]]
        self._file.write(_json(line) + b"\n")
        self._rows += 1

    def finish(self) -> int:
        return self._rows


def _object(found: Object, shape: Shape, image: Mapping[str, Any]) -> Json:
    segmentation: Json | list[list[float]] = [list(shape.quad)] if shape.quad else []
    if shape.rle:
        segmentation = {"size": [image["height"], image["width"]], "counts": shape.rle}
    return {
        "label": found.region["label"],
        "bbox": bbox_of(found.box),
        "area": shape.area,
        "iscrowd": int(found.crowd),
        "segmentation": segmentation,
        "score": found.region["score"],
    }


def merge_coco(merge: Merge) -> None:
    """Writes the files of every split. Without emit.label_list, all labels of the release are categories, sorted."""
    labels = merge.labels or sorted({label for split in merge.splits for label in _labels(merge, split)})
    categories = {label: number for number, label in enumerate(labels, 1)}
    for split in merge.splits:
        with ExitStack() as opened, tempfile.TemporaryFile() as images:
            _SplitFiles(merge, split, categories, images, opened).write()


def _labels(merge: Merge, split: str) -> Iterator[str]:
    return (one["label"] for line in merge.lines(split) for one in json.loads(line)["objects"])


class _Rows:
    """Rows of a JSON list, each in a line of its own."""

    def __init__(self, write: Callable[[bytes], object]) -> None:
        self._write, self.count = write, 0

    def add(self, row: Json) -> None:
        self._write((b",\n" if self.count else b"\n") + _json(row))
        self.count += 1


class _File:
    """A file of the release with one list of rows, which is the last thing that was written into it."""

    def __init__(self, file: ReleaseFile, head: bytes) -> None:
        self.release_file, self.rows = file, _Rows(file.write)
        file.write(head)


class _SplitFiles:
    """Writes the files of one split in one pass over its images.

    In a file, images come after annotations, so they are kept in a temporary file until the end.
    """

    def __init__(
        self, merge: Merge, split: str, categories: Mapping[str, int], images: IO[bytes], opened: ExitStack
    ) -> None:
        self._merge, self._split, self._categories, self._opened = merge, split, categories, opened
        self._spool, self._images = images, _Rows(images.write)
        self._licences: dict[str, int] = {}
        self._instances = self._open("instances", self._head(categories))
        self._captions: _File | None = None
        self._results: _File | None = None

    def write(self) -> None:
        for number, line in enumerate(self._merge.lines(self._split), 1):
            image = json.loads(line)
            self._images.add(self._image(number, image))
            for one in image["objects"]:
                self._add_object(number, one)
            for one in image["captions"]:
                self._captions = self._captions or self._open("captions", self._head())
                rows = self._captions.rows
                rows.add({"id": rows.count + 1, "image_id": number, **one})
        self._end(self._instances, self._images.count)
        if self._captions:
            self._end(self._captions, self._captions.rows.count)
        if self._results:
            self._results.release_file.write(b"\n]\n")
            self._results.release_file.rows = self._results.rows.count

    def _add_object(self, image: int, one: Json) -> None:
        label, score = one.pop("label"), one.pop("score")
        annotation = {"image_id": image, "category_id": self._categories[label], **one}
        rows = self._instances.rows
        rows.add({"id": rows.count + 1, **annotation})
        if score is not None and not one["iscrowd"]:
            # `loadRes` of pycocotools refuses an empty list, so the file exists only if it has rows.
            self._results = self._results or self._open("results", b"[")
            found = {name: annotation[name] for name in ("image_id", "category_id", "bbox")}
            mask = {"segmentation": one["segmentation"]} if one["segmentation"] else {}
            self._results.rows.add({**found, "score": score, **mask})

    def _image(self, number: int, image: Json) -> Json:
        found = {"id": number, **{name: image[name] for name in ("file_name", "width", "height")}}
        if image["licence"]:
            found["license"] = self._licences.setdefault(image["licence"], len(self._licences) + 1)
        return found

    def _open(self, kind: str, head: bytes) -> _File:
        return _File(self._opened.enter_context(self._merge.file(f"{FOLDER}/{kind}_{self._split}.json")), head)

    def _head(self, categories: Mapping[str, int] | None = None) -> bytes:
        head: Json = {"info": {"description": self._merge.name}}
        if categories is not None:
            kinds = [{"id": number, "name": label, "supercategory": ""} for label, number in categories.items()]
            head["categories"] = kinds
        return _json(head)[:-1] + b',"annotations":['

    def _end(self, file: _File, count: int) -> None:
        """Adds the images and their licences."""
        licences = [{"id": number, "name": name, "url": ""} for name, number in self._licences.items()]
        file.release_file.write(b'\n],"images":[')
        self._spool.seek(0)
        while block := self._spool.read(_BLOCK):
            file.release_file.write(block)
        file.release_file.write(b'\n],"licenses":' + _json(licences) + b"}\n")
        file.release_file.rows = count


def _json(value: Json | list[Json]) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


def card_section(manifest: Manifest) -> str:
    split = next(iter(manifest.get("splits", {})), "")
    return _SECTION.format(name=manifest["name"], split=split) if split else ""


_SECTION = """\
## COCO

`coco/instances_<split>.json` has every object with its box and, if it has one, its mask (compressed run-lengths; a
quad is a polygon). Crowds have `iscrowd` 1. `coco/results_<split>.json` has the objects that a model found, with their
scores, and `coco/captions_<split>.json` the texts; a split without any has no such file. `file_name` is a name in
`images/<split>/`, which is the folder of images for every reader.

Boxes are in the upright image. supervision turns images upright, except AVIF. `CocoDetection` of torchvision does not:
use `PIL.ImageOps.exif_transpose` in your transform.

```python
from pycocotools.coco import COCO

coco = COCO("{name}/coco/instances_{split}.json")
for image in coco.loadImgs(coco.getImgIds()):
    boxes = [annotation["bbox"] for annotation in coco.imgToAnns[image["id"]]]  # x, y, width, height in pixels
```"""

COCO = Format(
    CocoWriter,
    merge=merge_coco,
    files=(f"{FOLDER}/",),
    loose_images=True,
    verifier="pipelines.emit.verifiers.coco:CocoVerifier",
    card=card_section,
)
