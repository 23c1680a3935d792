"""Reads a sample of the images of each split with supervision, and compares what it finds with what was read before.

The sample has at most `IMAGES` images of a split. supervision keeps all masks in memory, one byte for each pixel of the
image, so images are left out of the sample if the masks would need more than `MASK_BYTES`.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from engine.extras import missing
from engine.layout import LOOSE_IMAGES
from pipelines.emit.verifiers.check import Check, Row, not_installed
from pipelines.emit.verifiers.read_boxes import ReadBox, file_name

if TYPE_CHECKING:
    from supervision import DetectionDataset

IMAGES = 500
MASK_BYTES = 1 << 28
DECODED = 8  # images of a split that are decoded, to see whether supervision turns them upright
# supervision decodes with OpenCV, which turns images of these extensions upright.
TURNED = (".jpg", ".png", ".webp")

# Opens the images with these names in a split. `whole`: whether they are all images of the split.
Reader = Callable[[str, Sequence[str], bool, Path], "DetectionDataset"]


class SupervisionSample:
    """`add` takes what another reader found in an image; `finish` compares it with what supervision finds."""

    def __init__(self, check: Check, reader: Reader) -> None:
        self.check, self._reader = check, reader
        self._splits: dict[str, dict[str, tuple[Row, Sequence[ReadBox]]]] = {}
        self._masks: dict[str, int] = {}
        self._partly: set[str] = set()

    def add(self, split: str, record: Row, boxes: Sequence[ReadBox], *, masks: bool) -> None:
        sample = self._splits.setdefault(split, {})
        size = self._masks.get(split, 0) + masks * len(boxes) * record["width"] * record["height"]
        if len(sample) < IMAGES and size <= MASK_BYTES:
            sample[file_name(record)], self._masks[split] = (record, boxes), size
        else:
            self._partly.add(split)

    def leave_out(self, split: str) -> None:
        """Must be called for an image of the split that is not added, because then the sample is not the whole."""
        self._partly.add(split)

    def finish(self) -> None:
        if self._splits and missing(["supervision"]):
            self.check.skipped.append(not_installed("supervision"))
            return
        for split in self._splits:
            self.check.attempt(f"supervision, split {split}", lambda split=split: self._compare(split))  # type: ignore[misc]
        self.check.detail += f"; supervision reads {sum(map(len, self._splits.values()))} of them"

    def _compare(self, split: str) -> None:
        sample = self._splits[split]
        with tempfile.TemporaryDirectory(prefix="supervision-") as scratch:
            dataset = self._reader(split, list(sample), split not in self._partly, Path(scratch))
            paths = {Path(path).name: path for path in dataset.image_paths}
            for name in sorted({*paths, *sample}):
                fault = "reads no such image" if name not in paths else ""
                fault = fault or ("reads an image that is in no record" if name not in sample else "")
                fault = fault or _fault(dataset, paths[name], *sample[name])
                if fault:
                    self.check.faults.append(f"supervision, split {split}: {name}: {fault}")
            turned = [name for name in sample if name in paths and name.endswith(TURNED)][:DECODED]
            self.check.faults += _turned_faults(dataset, [(paths[name], sample[name][0]) for name in turned])


def _fault(dataset: DetectionDataset, path: str, record: Row, boxes: Sequence[ReadBox]) -> str:
    """How the detections of an image differ from the boxes. '' if they agree."""
    found = dataset.annotations[path]
    if len(found) != len(boxes):
        return f"it finds {len(found)} objects, not {len(boxes)}"
    if not boxes:
        return ""
    labels = [dataset.classes[number] for number in (() if found.class_id is None else found.class_id)]
    if labels != [one.label for one in boxes]:
        return "it finds other labels"
    # supervision computes with float32.
    tolerance = 1e-3 + 1e-6 * max(record["width"], record["height"])
    if np.abs(np.asarray([one.box for one in boxes]) - found.xyxy).max() > tolerance:
        return "it finds other boxes"
    return ""


def _turned_faults(dataset: DetectionDataset, images: Sequence[tuple[str, Row]]) -> Iterator[str]:
    """Checks that supervision turns images upright."""
    for path, record in images:
        _, image, _ = dataset[dataset.image_paths.index(path)]
        height, width = image.shape[:2]
        if (width, height) != (record["width"], record["height"]):
            size = f"{record['width']}x{record['height']}"
            yield f"supervision decodes {Path(path).name} to {width}x{height}, its record has {size}"


def coco_reader(folder: Path) -> Reader:
    """Reads coco/instances_<split>.json, or a copy of it with only the images of the sample."""

    def read(split: str, names: Sequence[str], whole: bool, scratch: Path) -> DetectionDataset:
        import supervision

        path = folder / "coco" / f"instances_{split}.json"
        if not whole:
            content = json.loads(path.read_bytes())
            chosen = {image["id"] for image in content["images"] if image["file_name"] in set(names)}
            content["images"] = [image for image in content["images"] if image["id"] in chosen]
            content["annotations"] = [one for one in content["annotations"] if one["image_id"] in chosen]
            path = scratch / path.name
            path.write_text(json.dumps(content))
        return supervision.DetectionDataset.from_coco(str(folder / LOOSE_IMAGES / split), str(path))

    return read


def yolo_reader(folder: Path) -> Reader:
    """Reads images/<split> and labels/<split>, or a folder with links to the images of the sample."""

    def read(split: str, names: Sequence[str], whole: bool, scratch: Path) -> DetectionDataset:
        import supervision

        images = folder / LOOSE_IMAGES / split
        if not whole:
            for name in names:
                os.symlink(images.resolve() / name, scratch / name)
            images = scratch
        return supervision.DetectionDataset.from_yolo(
            str(images), str(folder / "labels" / split), str(folder / "data.yaml")
        )

    return read
