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
from pipelines.emit.verifiers.read_boxes import box_fault, file_name, left_out_faults
from pipelines.emit.verifiers.supervision import SupervisionSample, yolo_reader
from pipelines.emit.writers.yolo import unread

# The extensions that supervision's `from_yolo` lists, of those that a release has.
_SUPERVISION = (".jpg", ".png", ".webp", ".bmp", ".tif")

_ROUNDED = 0.500001e-8  # how far a share may be from that of the object: half of the last decimal
_FLOAT32 = 2e-7  # how far two shares may be apart that are equal as float32


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
        yield from filter(None, [self._compare(lines, found, record)])
        if file_name(record).endswith(_SUPERVISION):
            self._sample.add(split, record, boxes, masks=any(line.is_polygon for line in lines))

    def _compare(self, lines: Sequence[Line], found: Sequence[Object], record: Row) -> str:
        """The first object that differs from its line; '' if there is none.

        Objects without a line are counted as left out if there is a reason.
        """
        at = 0
        for thing in found:
            fault = self._fault(lines[at], thing, record, _ROUNDED) if at < len(lines) else "has too few lines"
            if not fault:
                at += 1
            elif not self._polygons and min(_centred(thing, record)[2:]) < _ROUNDED:
                self._left_out["no_area"] += 1
            elif any(not self._fault(line, thing, record, _FLOAT32) for line in lines[:at]):
                self._left_out["duplicate"] += 1
            else:
                return fault
        return f"has {len(lines)} lines, its record has {at} objects" if at < len(lines) else ""

    def _fault(self, line: Line, thing: Object, record: Row, tolerance: float) -> str:
        """How a line differs from an object. `tolerance`: as a share of the image."""
        if line.is_polygon != self._polygons:
            return f"has a {'polygon' if line.is_polygon else 'box'}, expected the other form"
        read, region = line.box(self._labels, record), thing.region
        if read.label != region["label"]:
            return f"has the label '{read.label}' for {region['id']}, its record has '{region['label']}'"
        if self._polygons:
            same = _same_outline(line.shares, thing, record, tolerance)
            return "" if same else f"has another polygon for {region['id']} than its record"
        if np.abs(np.subtract(line.shares, _centred(thing, record))).max() <= tolerance:
            return ""
        return box_fault(read, thing, 0.0) or f"has other numbers for {region['id']} than its record"


def _centred(thing: Object, record: Row) -> list[float]:
    """The centre and the size of a box, as shares of the image."""
    x1, y1, x2, y2 = thing.box
    width, height = record["width"], record["height"]
    return [(x1 + x2) / 2 / width, (y1 + y2) / 2 / height, (x2 - x1) / width, (y2 - y1) / height]


def _same_outline(shares: Sequence[float], thing: Object, record: Row, tolerance: float) -> bool:
    """Whether a polygon has the corners of all parts of an object's mask, quad or box, and their area."""
    size = {"width": record["width"], "height": record["height"]}
    shape = shape_of(thing, **size)
    parts = outline(shape.rle, **size) if shape.rle else [list(shape.quad or corners_of(thing.box))]
    expected, found = np.concatenate([_corners(part) for part in parts]) / [*size.values()], _corners(shares)
    area = sum(abs(signed_area(part)) for part in parts) / (record["width"] * record["height"])
    if abs(abs(signed_area(shares)) - area) > 10 * tolerance * len(found):
        return False
    distances = np.abs(expected[:, None] - found[None]).max(axis=2)
    return all(float(distances.min(axis=axis).max()) <= tolerance for axis in (0, 1))


def _corners(polygon: Sequence[float]) -> npt.NDArray[np.float64]:
    return np.asarray(polygon, np.float64).reshape(-1, 2)
