"""Checks that labels/ and data.yaml are what Ultralytics and supervision read, and hold the objects of every record.

Ultralytics needs torchvision, so it is not an extra of this package. Its rules are followed here, as they are in
ultralytics/data/utils.py (`verify_image_label`, `check_det_dataset`) and ultralytics/data/dataset.py (`verify_labels`)
of version 8.4.190.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from engine.layout import LOOSE_IMAGES
from engine.reading.release_manifest import Manifest
from engine.records.boxes import corners_of
from model.pairs.polygons import outline
from pipelines.emit.objects import Object, objects
from pipelines.emit.segmentations import shape_of, signed_area
from pipelines.emit.verifiers.check import Check, Row, ShardContent
from pipelines.emit.verifiers.label_files import Line, check_lines, class_names, read_lines
from pipelines.emit.verifiers.read_boxes import ReadBox, box_fault, file_name, left_out_faults
from pipelines.emit.verifiers.supervision import SupervisionSample, yolo_reader
from pipelines.emit.writers.yolo import unread

# The extensions that supervision's `from_yolo` lists, of those that a release has.
_SUPERVISION = (".jpg", ".png", ".webp", ".bmp", ".tif")


class YoloVerifier:
    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self.folder = folder
        self.check = Check("YOLO labels are those that Ultralytics takes, with the objects of every image")
        self._rows = {file["name"]: file["rows"] for file in manifest["files"]}
        emit = manifest["recipe"].get("emit", {})
        self._listed, self._polygons = emit.get("label_list", []), emit.get("yolo_polygons", False)
        self._stated = manifest.get("formats", {}).get("yolo", {"left_out": {}})["left_out"]
        self._left_out: Counter[str] = Counter()
        self._sample = SupervisionSample(self.check, yolo_reader(folder))
        self._labels: list[str] = self.check.attempt("data.yaml", self._data) or []
        self._images = self._objects = 0

    def read(self, shard: ShardContent) -> None:
        for record in shard.records:
            self._compare_image(shard.split, record)

    def _compare_image(self, split: str, record: Row) -> None:
        """Compares one image with its record and records the first fault."""
        where = f"labels/{split}/{record['image_id']}.txt"
        faults = self.check.attempt(where, lambda: list(self._faults(split, record)))
        self.check.faults += [f"{where} {fault}" for fault in (faults or [])[:1]]
        if faults or faults is None:
            self._sample.leave_out(split)

    def finish(self) -> None:
        self.check.faults += left_out_faults("yolo", self._left_out, self._stated)
        self.check.detail = f"{self._images} images, {self._objects} objects"
        self._sample.finish()

    def _data(self) -> list[str]:
        """The class names in data.yaml. Records faults."""
        labels = class_names(self.folder / "data.yaml", self.folder)
        if labels != self._listed:
            self.check.faults.append("data.yaml has other names than emit.label_list")
        if self._rows.get("data.yaml") != len(labels):
            stated = self._rows.get("data.yaml", 0)
            self.check.faults.append(f"data.yaml has {len(labels)} names, the manifest has {stated}")
        return labels

    def _faults(self, split: str, record: Row) -> Iterator[str]:
        found, left_out = objects(record, self._labels or ("",))
        self._left_out.update(left_out)
        path = self.folder / "labels" / split / f"{record['image_id']}.txt"
        if not (self.folder / LOOSE_IMAGES / split / file_name(record)).is_file():
            yield f"has no image {LOOSE_IMAGES}/{split}/{file_name(record)}"
            return
        self._images += 1
        if reason := unread(record):
            self._left_out.update([reason] * len(found))
            self._sample.leave_out(split)
            if path.exists():
                yield "exists, but Ultralytics ignores its image"
            return
        if self._polygons:
            shapes = (shape_of(one, record["width"], record["height"]) for one in found)
            self._left_out.update(shape.fault for shape in shapes if shape.fault)
        lines = read_lines(path)
        self._objects += len(lines)
        if broken := list(check_lines(lines, len(self._labels))):
            yield from broken
            return
        boxes = [line.box(self._labels, record) for line in lines]
        yield from filter(None, [self._compare(lines, boxes, found, record)])
        if file_name(record).endswith(_SUPERVISION):
            self._sample.add(split, record, boxes, masks=any(line.is_polygon for line in lines))

    def _compare(self, lines: Sequence[Line], boxes: Sequence[ReadBox], found: Sequence[Object], record: Row) -> str:
        """The first object that differs from its line; '' if there is none.

        Objects without a line are counted as left out if there is a reason.
        """
        at = 0
        for thing in found:
            fault = self._fault(lines[at], boxes[at], thing, record) if at < len(lines) else "has too few lines"
            if not fault:
                at += 1
            elif not self._polygons and _is_too_thin(thing, record):
                self._left_out["no_area"] += 1
            elif any(not self._fault(line, box, thing, record) for line, box in zip(lines[:at], boxes, strict=False)):
                self._left_out["duplicate"] += 1
            else:
                return fault
        return f"has {len(lines)} lines, its record has {at} objects" if at < len(lines) else ""

    def _fault(self, line: Line, box: ReadBox, thing: Object, record: Row) -> str:
        tolerance = 1e-3 + 1e-6 * max(record["width"], record["height"])  # Ultralytics reads float32
        if line.is_polygon != self._polygons:
            return f"has a {'polygon' if line.is_polygon else 'box'}, expected the other form"
        if not self._polygons:
            return box_fault(box, thing, record, tolerance)
        if box.label != thing.region["label"]:
            return f"has the label '{box.label}' for {thing.region['id']}, its record has '{thing.region['label']}'"
        same = _same_outline(line.pixels(record), thing, record, tolerance)
        return "" if same else f"has another polygon for {thing.region['id']} than its record"


def _is_too_thin(thing: Object, record: Row) -> bool:
    """Whether the width or the height of a box is 0 when it is written with eight decimals."""
    x1, y1, x2, y2 = thing.box
    return bool(min((x2 - x1) / record["width"], (y2 - y1) / record["height"]) < 5e-9)


def _same_outline(pixels: Sequence[float], thing: Object, record: Row, tolerance: float) -> bool:
    """Whether a polygon has the corners of all parts of an object's mask, quad or box, and their area."""
    size = {"width": record["width"], "height": record["height"]}
    shape = shape_of(thing, **size)
    parts = outline(shape.rle, **size) if shape.rle else [list(shape.quad or corners_of(thing.box))]
    expected, found = np.concatenate([_corners(part) for part in parts]), _corners(pixels)
    area = sum(abs(signed_area(part)) for part in parts)
    if abs(abs(signed_area(pixels)) - area) > tolerance * 4 * (record["width"] + record["height"]):
        return False
    distances = np.abs(expected[:, None] - found[None]).max(axis=2)
    return all(float(distances.min(axis=axis).max()) <= tolerance for axis in (0, 1))


def _corners(polygon: Sequence[float]) -> npt.NDArray[np.float64]:
    return np.asarray(polygon, np.float64).reshape(-1, 2)
