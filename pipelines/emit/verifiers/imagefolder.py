"""Checks that images/<split>/metadata.jsonl has the objects and texts of every record, and that `datasets` reads it.

`datasets` runs in another process (imagefolder_program.py), which returns a digest of all values that it read.
"""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from engine.layout import LOOSE_IMAGES
from engine.reading.release_manifest import Manifest
from pipelines.emit.objects import Object, objects
from pipelines.emit.segmentations import shape_of
from pipelines.emit.verifiers import imagefolder_program
from pipelines.emit.verifiers.check import Check, Row, ShardContent, not_installed, one_line
from pipelines.emit.verifiers.read_boxes import SAME, ReadBox, boxes_fault, file_name, left_out_faults

_COPIED = ("image_id", "width", "height", "licence")  # fields that are in the record too


class ImagefolderVerifier:
    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self.folder = folder
        self.check = Check("imagefolder has the objects and texts of every image, and `datasets` reads them")
        self._rows = {file["name"]: file["rows"] for file in manifest["files"]}
        self._stated = manifest.get("formats", {}).get("imagefolder", {"left_out": {}})["left_out"]
        self._left_out: Counter[str] = Counter()
        self._splits: dict[str, MetadataFile | None] = {}

    def read(self, shard: ShardContent) -> None:
        split = shard.split
        if split not in self._splits:
            path = self.folder / LOOSE_IMAGES / split / "metadata.jsonl"
            self._splits[split] = self.check.attempt(_name(split), lambda: MetadataFile(path))
        if file := self._splits[split]:
            for record in shard.records:
                self._compare(f"{_name(split)}: {record['image_id']}", file, record)

    def _compare(self, where: str, file: MetadataFile, record: Row) -> None:
        """Compares one image with its record and records the first fault."""
        faults = self.check.attempt(where, lambda: list(self._faults(file, record)))
        self.check.faults += [f"{where} {fault}" for fault in (faults or [])[:1]]

    def finish(self) -> None:
        for split, file in self._splits.items():
            stated = self._rows.get(_name(split), 0)
            if file and file.lines != stated:
                self.check.faults.append(f"{_name(split)} has {file.lines} lines, the manifest has {stated}")
            if file:
                self.check.faults += [f"{_name(split)} has {name}, no record has" for name in file.left]
        files = {split: file for split, file in self._splits.items() if file}
        if len(files) == len(self._splits):
            self.check.faults += left_out_faults("imagefolder", self._left_out, self._stated)
        self._ask_datasets(files)
        self.check.detail = f"{sum(file.lines for file in files.values())} images streamed and loaded"

    def _ask_datasets(self, files: dict[str, MetadataFile]) -> None:
        with tempfile.TemporaryDirectory(prefix="datasets-") as cache:
            answers = imagefolder_program.ask(self.folder / LOOSE_IMAGES, list(files), Path(cache)) if files else {}
        for name, answer in answers.items():
            split, _, way = name.partition(" ")
            if "missing" in answer:
                self.check.faults.append(not_installed(str(answer["missing"])))
                return
            if "error" in answer:
                self.check.faults.append(f"{_name(split)}, {way}: {one_line(answer['error'])}")
            elif answer != {"rows": files[split].lines, "digest": files[split].digest}:
                self.check.faults.append(f"{_name(split)}, {way}: `datasets` reads other values than the file has")

    def _faults(self, file: MetadataFile, record: Row) -> Iterator[str]:
        found, left_out = objects(record)
        shapes = [shape_of(one, record["width"], record["height"]) for one in found]
        self._left_out.update(left_out)
        self._left_out.update(shape.fault for shape in shapes if shape.fault)
        line = file.take(file_name(record))
        if line is None:
            yield "is not there"
            return
        if not (file.path.parent / line["file_name"]).is_file():
            yield f"has no file {line['file_name']} beside it"
        yield from (f"has another {name} than its record" for name in _COPIED if line[name] != record[name])
        things, texts = line["objects"], record["texts"]
        boxes = [_read_box(*one) for one in zip(things["categories"], things["bbox"], strict=True)]
        yield from filter(None, [boxes_fault(boxes, found)])
        yield from _value_faults(things, found, [shape.area for shape in shapes])
        if [line["captions"], line["granularities"]] != [
            [text[key] for text in texts] for key in ("text", "granularity")
        ]:
            yield "has other captions than its record"


class MetadataFile:
    """A metadata.jsonl. Only the places of its lines are in memory. Raises ValueError if a file name is there twice.

    `digest`: of all values, as `imagefolder_program` computes it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._places: dict[str, int] = {}
        digest = imagefolder_program.Digest()
        with path.open("rb") as file:
            for line in iter(file.readline, b""):
                content = json.loads(line)
                if content["file_name"] in self._places:
                    raise ValueError(f"{content['file_name']} is there twice")
                self._places[content["file_name"]] = file.tell() - len(line)
                digest.add(content)
        self.lines, self.digest = len(self._places), digest.value()

    def take(self, name: str) -> dict[str, Any] | None:
        """The line of an image, which is then no longer in `left`. None if there is none, or no longer."""
        place = self._places.pop(name, None)
        if place is None:
            return None
        with self.path.open("rb") as file:
            file.seek(place)
            line: dict[str, Any] = json.loads(file.readline())
        return line

    @property
    def left(self) -> list[str]:
        return list(self._places)


def _name(split: str) -> str:
    return f"{LOOSE_IMAGES}/{split}/metadata.jsonl"


def _read_box(label: str, bbox: Sequence[float]) -> ReadBox:
    x, y, width, height = bbox
    return ReadBox(label, (x, y, x + width, y + height))


def _value_faults(things: dict[str, list[Any]], found: Sequence[Object], areas: Sequence[float]) -> Iterator[str]:
    scores = [None if human else score for score, human in zip(things["scores"], things["human"], strict=True)]
    if scores != [one.region["score"] for one in found]:
        yield "has other scores than its record"
    if len(things["areas"]) != len(areas) or any(
        abs(one - area) > SAME for one, area in zip(things["areas"], areas, strict=True)
    ):
        yield "has other areas than its record"
