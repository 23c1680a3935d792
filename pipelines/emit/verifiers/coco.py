"""Checks that pycocotools and supervision read from coco/ the objects, scores and texts of every record."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from engine.layout import LOOSE_IMAGES
from engine.reading.release_manifest import Manifest
from pipelines.emit.objects import Object, objects
from pipelines.emit.segmentations import Shape, shape_of
from pipelines.emit.verifiers.check import Check, Row, ShardContent
from pipelines.emit.verifiers.coco_files import SplitFiles
from pipelines.emit.verifiers.read_boxes import SAME, ReadBox, boxes_fault, file_name, left_out_faults
from pipelines.emit.verifiers.supervision import SupervisionSample, coco_reader

Json = Mapping[str, Any]
# What a result has after `loadRes` of pycocotools, which adds the last four if they are not in the file.
_RESULT = {"image_id", "category_id", "bbox", "score", "segmentation", "area", "id", "iscrowd"}


class CocoVerifier:
    """Loads the files of a split when its first shard is read, and compares them image by image."""

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self.folder = folder
        self.check = Check("pycocotools reads the objects and texts of every image")
        self._rows = {file["name"]: file["rows"] for file in manifest["files"] if file["name"].startswith("coco/")}
        self._name = manifest["name"]
        self._listed = manifest["recipe"].get("emit", {}).get("label_list", [])
        self._stated = manifest.get("formats", {}).get("coco", {"left_out": {}})["left_out"]
        self._left_out: Counter[str] = Counter()
        self._splits: dict[str, SplitFiles | None] = {}
        self._sample = SupervisionSample(self.check, coco_reader(folder))
        self._objects = 0

    def read(self, shard: ShardContent) -> None:
        split = shard.split
        if split not in self._splits:
            self._splits[split] = self.check.attempt(f"coco, split {split}", lambda: SplitFiles(self.folder, split))
        if files := self._splits[split]:
            for record in shard.records:
                self._compare(files, record)

    def finish(self) -> None:
        """Checks what concerns all images together, and reads a sample with supervision."""
        splits = [files for files in self._splits.values() if files]
        rows: dict[str, int] = {}
        for files in splits:
            rows |= files.rows()
            self.check.faults += files.strangers()
            self.check.faults += files.other_parts(self._name)
            self.check.faults += [f"coco/instances_{files.split}.json has {name}, no record has" for name in files.left]
            if self._listed and files.labels != self._listed:
                self.check.faults.append(f"coco/instances_{files.split}.json has other categories than emit.label_list")
        if len(splits) == len(self._splits):
            self.check.faults += _row_faults(rows, self._rows)
            self.check.faults += left_out_faults("coco", self._left_out, self._stated)
        self.check.detail = f"{sum(files.images for files in splits)} images, {self._objects} objects"
        self._sample.finish()

    def _compare(self, files: SplitFiles, record: Row) -> None:
        """Compares one image with its record and records the first fault."""
        where = f"coco, split {files.split}: {record['image_id']}"
        faults = self.check.attempt(where, lambda: list(self._faults(files, record)))
        self.check.faults += [f"{where} {fault}" for fault in (faults or [])[:1]]
        if faults or faults is None:
            self._sample.leave_out(files.split)

    def _faults(self, files: SplitFiles, record: Row) -> Iterator[str]:
        found, left_out = objects(record, files.labels if self._listed else (), crowds=True)
        shapes = [shape_of(one, record["width"], record["height"]) for one in found]
        self._left_out.update(left_out)
        self._left_out.update(shape.fault for shape in shapes if shape.fault)
        image = files.take(file_name(record))
        if image is None:
            yield f"is not in instances_{files.split}.json"
            return
        annotations = files.objects(image)
        boxes = [_read_box(files, one) for one in annotations]
        self._objects += len(boxes)
        faults = [*_image_faults(self.folder / LOOSE_IMAGES / files.split, image, record)]
        if files.licence(image) != record["licence"]:
            faults.append(f"has the licence '{files.licence(image)}', its record has '{record['licence']}'")
        faults += filter(None, [boxes_fault(boxes, found)])
        faults += [] if faults else _shape_faults(annotations, found, shapes, record)
        faults += _result_faults(files, image, [*zip(found, annotations, strict=False)])
        if files.texts(image) != [(text["text"], text["granularity"]) for text in record["texts"]]:
            faults.append("has other captions than its record")
        if not faults:
            self._sample.add(files.split, record, boxes, masks=any(one["segmentation"] for one in annotations))
        yield from faults


def _read_box(files: SplitFiles, annotation: Json) -> ReadBox:
    x, y, width, height = annotation["bbox"]
    return ReadBox(files.label(annotation), (x, y, x + width, y + height))


def _image_faults(folder: Path, image: Json, record: Row) -> Iterator[str]:
    if not (folder / image["file_name"]).is_file():
        yield f"has no file {LOOSE_IMAGES}/{folder.name}/{image['file_name']}"
    if (image["width"], image["height"]) != (record["width"], record["height"]):
        size = f"{record['width']}x{record['height']}"
        yield f"is {image['width']}x{image['height']}, its record has {size}"


def _shape_faults(
    annotations: Sequence[Json], found: Sequence[Object], shapes: Sequence[Shape], record: Row
) -> Iterator[str]:
    """Compares crowds, masks and areas. The area of a mask is computed by pycocotools."""
    from pycocotools import mask as coco

    for one, thing, shape in zip(annotations, found, shapes, strict=True):
        name, area, mask = thing.region["id"], shape.area, one["segmentation"]
        if one["iscrowd"] != int(thing.crowd):
            yield f"has iscrowd {one['iscrowd']} for {name}, its record has {int(thing.crowd)}"
        expected: Json | list[Sequence[float]] = [shape.quad] if shape.quad else []
        if shape.rle:
            expected = {"size": [record["height"], record["width"]], "counts": thing.region["rle"]}
        if mask != expected:
            yield f"has another mask for {name} than its record"
        elif shape.rle:
            area = float(coco.area(mask))
        if abs(one["area"] - area) > SAME:
            yield f"has the area {one['area']:g} for {name}, expected {area:g}"


def _result_faults(files: SplitFiles, image: Json, found: Sequence[tuple[Object, Json]]) -> Iterator[str]:
    """Compares the results with the objects that a model found. `found`: objects with their annotations."""
    scored = [one for one in found if one[0].region["score"] is not None and not one[0].crowd]
    results = files.found_by_models(image)
    if fault := boxes_fault([_read_box(files, one) for one in results], [thing for thing, _ in scored]):
        yield f"{fault}, in results_{files.split}.json"
    for one, (thing, annotation) in zip(results, scored, strict=False):
        name, score = thing.region["id"], thing.region["score"]
        if one["score"] != score:
            yield f"has the score {one['score']} for {name}, its record has {score}"
        if set(one) != _RESULT or (annotation["segmentation"] and one["segmentation"] != annotation["segmentation"]):
            yield f"has other keys or another mask for {name} in results_{files.split}.json than its record"


def _row_faults(found: Mapping[str, int], stated: Mapping[str, int]) -> Iterator[str]:
    for name in sorted({*found, *stated}):
        if name not in stated:
            yield f"{name} is not in the manifest"
        elif found.get(name) != stated[name]:
            yield f"{name} has {found.get(name, 0)} rows, the manifest has {stated[name]}"
