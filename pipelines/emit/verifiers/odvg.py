"""Checks the files of odvg/ by the rules of their readers, and compares every box and every phrase with the records.

mmdetection cannot be installed beside the engine, so its rules are restated here. They are those of
ODVGDataset.load_data_list (mmdet/datasets/odvg.py, version 3.3) and of the transform RandomSamplingNegPos:

* A line is a JSON object with `filename`, `height`, `width`, and either `detection` or `grounding`.
* In a detection, `label` is a key of label_map.json.
* In a grounding, `tokens_positive` are spans of `caption`, counted after the caption was made lower case and stripped.
* A box is x1, y1, x2, y2. It is ignored if no part of it is in the image, or if it is less than a pixel wide or high.

Open-GroundingDino (datasets/odvg.py) also needs one box in each entry of `regions`, and at least one entry in a line.
The lines are in the order of the images, so only one line of each file is in memory.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from engine.images.decode import EXTENSIONS
from engine.layout import LOOSE_IMAGES
from engine.reading.release_manifest import Manifest
from engine.records.boxes import row_box
from pipelines.emit.objects import objects, pixel_box
from pipelines.emit.verifiers.check import Check, Row, ShardContent
from pipelines.emit.verifiers.json_lines import JsonLines
from pipelines.emit.writers.odvg import FOLDER, LABEL_MAP, box_fault, is_thin, span_fault

_ROUNDED = 0.0001  # how far a coordinate may be from that of the record, in pixels


class Named(NamedTuple):
    """A region that the words of a caption from `start` to `end` name."""

    start: int
    end: int
    region: Row


class OdvgVerifier:
    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self.folder, self.manifest = folder, manifest
        self.check = Check("ODVG has the objects and phrases of the records")
        self._listed: list[str] = list(manifest["recipe"].get("emit", {}).get("label_list", ()))
        self._map: list[str] = self.check.attempt(LABEL_MAP, lambda: _label_map(folder / LABEL_MAP)) or []
        self._files: dict[str, JsonLines] = {}
        self._rows: Counter[str] = Counter()  # the lines that each file must have
        self._labels: set[str] = set()
        self._left_out: Counter[str] = Counter()
        self._numbers = Counter(images=0, objects=0, captions=0, phrases=0)

    def read(self, shard: ShardContent) -> None:
        """Compares the lines of the images of one shard."""
        for record in shard.records:
            self.check.attempt(shard.name, lambda record=record: self._image(record, shard.split))  # type: ignore[misc]

    def finish(self) -> None:
        """Checks that no line is left, and compares the numbers with those of the manifest."""
        faults = self.check.faults
        for lines in self._files.values():
            lines.finish()
        labels = self._listed or sorted(self._labels)
        if self._map != labels:
            faults.append(f"{LABEL_MAP} has {_some(self._map)}, the labels of the release are {_some(labels)}")
        rows = {LABEL_MAP: len(labels), **self._rows}
        stated = {file["name"]: file["rows"] for file in self.manifest["files"] if file["name"].startswith(FOLDER)}
        for name in sorted({*rows, *stated}):
            if rows.get(name) != stated.get(name):
                faults.append(f"{name}: {rows.get(name)} rows by the records, the manifest has {stated.get(name)}")
        left_out = self.manifest.get("formats", {}).get("odvg", {"left_out": {}})["left_out"]
        if left_out != dict(self._left_out):
            faults.append(f"{FOLDER} left out {_some(self._left_out)}, the manifest has {_some(left_out)}")
        self.check.detail = ", ".join(f"{number} {name}" for name, number in self._numbers.items())

    def _image(self, record: Row, split: str) -> None:
        name = f"{split}/{record['image_id']}.{EXTENSIONS[record['format']]}"
        if not (self.folder / LOOSE_IMAGES / name).is_file():
            self.check.faults.append(f"{LOOSE_IMAGES}/{name} is missing, {FOLDER} names it")
        self._numbers["images"] += 1
        detection = self._line(f"{FOLDER}detection_{split}.jsonl", name)
        expected = self._objects(record)
        if detection:
            self._compare(detection, f"detection_{split}", _instance_faults(detection, record, expected, self._map))
        for caption, regions in self._captions(record):
            grounding = self._line(f"{FOLDER}grounding_{split}.jsonl", name)
            if grounding:
                faults = _caption_faults(grounding, record, caption, regions)
                self._compare(grounding, f"grounding_{split}", faults)
            self._numbers["captions"] += 1
            self._numbers["phrases"] += len(regions)

    def _line(self, file: str, filename: str) -> Row | None:
        if file not in self._files:
            self._files[file] = JsonLines(self.folder, file, self.check)
        self._rows[file] += 1
        return self._files[file].next(filename)

    def _compare(self, line: Row, file: str, faults: Iterator[str]) -> None:
        """Records the first fault of a line: further ones mostly have the same cause."""
        place = self._files[f"{FOLDER}{file}.jsonl"].place
        fault = next(faults, "")
        if fault:
            self.check.faults.append(f"{place}: {line['filename']} {fault}")

    def _objects(self, record: Row) -> list[Row]:
        """The regions that are objects of the detection file. Counts the others."""
        found, left_out = objects(record, self._listed)
        kept = [one.region for one in found if not is_thin(one.box)]
        self._left_out += left_out + Counter(under_one_pixel=len(found) - len(kept))
        self._labels.update(region["label"] for region in kept)
        self._numbers["objects"] += len(kept)
        return kept

    def _captions(self, record: Row) -> Iterator[tuple[str, list[Named]]]:
        """The texts with phrases that name regions: the text without white space around it, and the regions."""
        regions = {region["id"]: region for region in record["regions"]}
        phrases: dict[str, list[Row]] = {}
        for phrase in record["phrases"]:
            if any(name in regions for name in phrase["region_ids"]):
                phrases.setdefault(phrase["text_id"], []).append(phrase)
        self._left_out += Counter(phrase_without_region=len(record["phrases"]) - sum(map(len, phrases.values())))
        for text in record["texts"]:
            words = text["text"].strip()
            shift = text["text"].index(words)
            spans: dict[tuple[int, int], dict[str, Row]] = {}
            for phrase in phrases.get(text["id"], ()):
                own = {name: regions[name] for name in phrase["region_ids"] if name in regions}
                span = (phrase["char_start"] - shift, phrase["char_end"] - shift)
                spans[span] = spans.get(span, {}) | own
            named = [Named(*span, region) for span in sorted(spans) for region in spans[span].values()]
            if written := [one for one in named if self._is_written(one, words, record)]:
                yield words, written

    def _is_written(self, one: Named, caption: str, record: Row) -> bool:
        """Whether a region of a phrase can be written. Counts it if not."""
        box = pixel_box(one.region, record["width"], record["height"])
        reason = span_fault(caption, one.start, one.end) or box_fault(box)
        self._left_out += Counter({f"phrase_{reason}": 1} if reason else {})
        return not reason


def _label_map(path: Path) -> list[str]:
    """The labels of label_map.json, in the order of their numbers."""
    found = json.loads(path.read_text(encoding="utf-8"))
    if list(found) != [str(number) for number in range(len(found))]:
        raise ValueError("its keys are not the numbers from 0")
    return list(found.values())


def _instance_faults(line: Row, record: Row, regions: Sequence[Row], labels: Sequence[str]) -> Iterator[str]:
    yield from _size_faults(line, record)
    found = line["detection"]["instances"]
    if len(found) != len(regions):
        yield f"has {len(found)} objects, its record has {len(regions)}"
    for number, (one, region) in enumerate(zip(found, regions, strict=False)):
        yield from _box_faults(f"object {number}", one["bbox"], region, record)
        label = labels[one["label"]] if isinstance(one["label"], int) and 0 <= one["label"] < len(labels) else None
        if not label == one["category"] == region["label"]:
            yield (
                f"object {number} has the label {one['label']} ('{label}') and the category '{one['category']}', "
                f"its record has '{region['label']}'"
            )


def _caption_faults(line: Row, record: Row, caption: str, named: Sequence[Named]) -> Iterator[str]:
    yield from _size_faults(line, record)
    found = line["grounding"]["regions"]
    if line["grounding"]["caption"] != caption:
        yield f"has the caption {line['grounding']['caption']!r:.60}, its record has {caption!r:.60}"
    if len(found) != len(named):
        yield f"has {len(found)} regions of phrases, its record has {len(named)}"
    read = caption.lower().strip()
    for number, (one, expected) in enumerate(zip(found, named, strict=False)):
        yield from _box_faults(f"region {number}", one["bbox"], expected.region, record)
        words = caption[expected.start : expected.end]
        if one["tokens_positive"] != [[expected.start, expected.end]] or one["phrase"] != words:
            yield (
                f"region {number} is of {one['phrase']!r} at {one['tokens_positive']}, its record has {words!r} at "
                f"[[{expected.start}, {expected.end}]]"
            )
        elif read[expected.start : expected.end] != words.lower():
            yield f"region {number} is of {words!r}, mmdetection reads {read[expected.start : expected.end]!r}"


def _size_faults(line: Row, record: Row) -> Iterator[str]:
    if (line["width"], line["height"]) != (record["width"], record["height"]):
        yield f"is {line['width']}x{line['height']}, its record has {record['width']}x{record['height']}"


def _box_faults(what: str, bbox: Any, region: Row, record: Row) -> Iterator[str]:
    """Faults of one box: whether a reader ignores it, and whether it is that of the record, clipped to the image."""
    if not (isinstance(bbox, list) and len(bbox) == 4 and all(isinstance(value, float) for value in bbox)):
        yield f"{what} has the box {bbox}, which is not a list of four numbers"
        return
    sides = (record["width"], record["height"]) * 2
    expected = [min(max(value, 0.0), side) for value, side in zip(row_box(region), sides, strict=True)]
    if any(abs(value - wanted) > _ROUNDED for value, wanted in zip(bbox, expected, strict=True)):
        yield f"{what} has the box {bbox}, its record has {[round(value, 4) for value in expected]}"
    elif box_fault((bbox[0], bbox[1], bbox[2], bbox[3])):
        yield f"{what} has the box {bbox}, which mmdetection ignores"


def _some(found: Mapping[str, int] | Sequence[str]) -> str:
    """A few of these, for a fault."""
    items = [f"{number} {name}" for name, number in found.items()] if isinstance(found, Mapping) else list(found)
    return (", ".join(items[:8]) + (f" and {len(items) - 8} more" if len(items) > 8 else "")) or "none"
