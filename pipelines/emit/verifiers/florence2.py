"""Checks florence2/<split>/annotations.jsonl by the rules of maestro, and holds each line to the records.

maestro itself cannot be installed beside the engine, so its rules are checked here (roboflow/maestro,
trainer/common/datasets/jsonl.py and core.py, and version 1.0.0): a folder for each of train, valid and test with
annotations.jsonl in UTF-8; each line is a JSON object with image, prefix and suffix; the image exists at its path
relative to the folder of the file; Pillow opens it and converts it to RGB. EXIF is not applied.

Every prefix must expand to the prompt of a pair of its image, in every kind of processor. Every suffix must be the
target of that pair, and the target must parse back to the annotations of the record.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

from engine.errors import ImageError
from engine.images.decode import EXTENSIONS
from engine.layout import LOOSE_IMAGES, RELEASE_SPLITS
from engine.reading.release_manifest import Manifest
from model.pairs.compile import compile_pairs
from model.pairs.locations import BINS
from model.pairs.options import PairOptions
from model.pairs.pair import Pair
from model.pairs.parsing import parse_target
from model.pairs.prefixes import expand, prefix_of
from pipelines.emit.verifiers.check import Check, Row, ShardContent
from pipelines.emit.verifiers.florence2_lines import AnnotationFile, Line
from pipelines.emit.verifiers.one_pair import RecordProof
from pipelines.emit.writers.florence2 import annotations_file, is_turned

Question = tuple[str, str]  # prefix and suffix
_ENOUGH = 1000  # faults after which further images are not compared
_BEYOND = re.compile(r"<loc_\d{4,}>")


class Florence2Verifier:
    """Reads the lines of each split in the order of the shards. Only the lines of one image are in memory at a time."""

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self.folder, self.manifest = folder, manifest
        self.check = Check("lines for Florence-2 follow maestro's rules, and are the pairs of their images")
        stated = manifest["recipe"].get("emit", {}).get("pairs", {})
        self._options = self.check.attempt("emit.pairs in the manifest", lambda: PairOptions(**stated)) or PairOptions()
        self._files = {
            split: AnnotationFile(folder, annotations_file(split), self.check.faults) for split in RELEASE_SPLITS
        }
        self._left_out: Counter[str] = Counter()
        self._seen: set[str] = set()

    def read(self, shard: ShardContent) -> None:
        if len(self.check.faults) < _ENOUGH:
            self.check.attempt(shard.name, lambda: self._read(shard))

    def finish(self) -> None:
        """Compares what was read with the numbers of the manifest."""
        stated = {file["name"]: file["rows"] for file in self.manifest["files"]}
        for file in self._files.values():
            for rest in file.rest():  # to the end, because it counts the lines
                if len(self.check.faults) < _ENOUGH:
                    self.check.faults.append(f"{rest} has no pair in this release")
            if file.exists and file.lines != stated.get(file.name):
                expected = stated.get(file.name, "no such file")
                self.check.faults.append(f"{file.name} has {file.lines} lines, the manifest has {expected}")
        left_out = self.manifest.get("formats", {}).get("florence2", {"left_out": {}})["left_out"]
        for reason in sorted({*self._left_out, *left_out}):
            found, expected = self._left_out[reason], left_out.get(reason, 0)
            if found != expected:
                self.check.faults.append(f"{found} pairs are left out as {reason}, the manifest has {expected}")
        self.check.detail = ", ".join(f"{file.lines} lines of {split}" for split, file in self._files.items())

    def _read(self, shard: ShardContent) -> None:
        file = self._files[shard.split]
        names = {record["image_id"]: f"{record['image_id']}.{EXTENSIONS[record['format']]}" for record in shard.records}
        ahead = {_path(shard.split, name) for name in names.values()}
        for record in shard.records:
            name = names[record["image_id"]]
            pairs = compile_pairs(record, width=record["width"], height=record["height"], options=self._options).pairs
            expected = self._expected(pairs, turned=self._image_turned(record, shard.split, name)) if pairs else {}
            path = _path(shard.split, name)
            ahead.discard(path)
            self._seen.add(path)
            lines = list(file.lines_of(path, ahead, self._seen))
            self.check.faults += _differences(file.name, record, lines, expected)
            self.check.faults += _pair_faults(record, expected, self._options.max_points)

    def _expected(self, pairs: list[Pair], *, turned: bool) -> dict[Question, Pair]:
        """{what a line asks and answers: its pair}. Pairs that a line cannot hold are counted."""
        expected: dict[Question, Pair] = {}
        for pair in pairs:
            prefix = prefix_of(pair.task, pair.prompt)
            if turned or not prefix:
                self._left_out["turned_by_exif" if turned else "task_in_prompt"] += 1
            else:
                expected[prefix, pair.target] = pair
        return expected

    def _image_turned(self, record: Row, split: str, name: str) -> bool:
        """Opens an image as maestro does. Returns whether EXIF turns it."""
        path = f"{LOOSE_IMAGES}/{split}/{name}"
        try:
            data = (self.folder / path).read_bytes()
            turned = is_turned(data)
        except (OSError, ImageError) as error:
            self.check.faults.append(f"{path} cannot be read: {error}")
            return False
        if hashlib.sha256(data).hexdigest()[:32] != record["image_id"]:
            self.check.faults.append(f"{path} is another image than its name states")
        size = self.check.attempt(path, lambda: _size(self.folder / path))
        if size and not turned and size != (record["width"], record["height"]):
            self.check.faults.append(f"{path} has {size[0]}x{size[1]} pixels, its record has others")
        return turned


def _path(split: str, name: str) -> str:
    """The value of `image` in the lines of an image."""
    return f"../../{LOOSE_IMAGES}/{split}/{name}"


def _size(path: Path) -> tuple[int, int]:
    from PIL import Image

    with Image.open(path) as image:
        return image.convert("RGB").size


def _differences(file: str, record: Row, lines: list[Line], expected: Mapping[Question, Pair]) -> Iterator[str]:
    """What is wrong with the lines of an image."""
    found: Counter[Question] = Counter()
    answered: set[str] = set()  # prefixes of lines with another suffix
    for line in lines:
        question = (line.prefix, line.suffix)
        found[question] += 1
        if question not in expected:
            answered.add(line.prefix)
            yield f"{file}:{line.number} of {record['image_id']} {_fault(record, line, expected)}"
        elif found[question] > 1:
            yield f"{file}:{line.number} of {record['image_id']} is there twice"
    for (prefix, suffix), pair in expected.items():
        if not found[prefix, suffix] and prefix not in answered:
            yield f"{file} lacks a pair of {pair.task} of {record['image_id']}"


def _fault(record: Row, line: Line, expected: Mapping[Question, Pair]) -> str:
    """Why a line is no pair of its image, as the end of a sentence."""
    pair = next((pair for (prefix, _), pair in expected.items() if prefix == line.prefix), None)
    if pair is None:
        try:
            return f"asks '{expand(line.prefix)[:80]}', which no pair of the image asks"
        except ValueError as error:
            return f"has a prefix that processors refuse: {error}"
    if beyond := _BEYOND.search(line.suffix):
        return f"has {beyond[0]}, which is no token: locations are 0 to {BINS - 1}"
    parsed = parse_target(pair.task, line.suffix, width=record["width"], height=record["height"])
    if parsed.faults:
        return f"has a suffix that does not parse, {parsed.faults[0].reason}: '{line.suffix[:80]}'"
    return f"answers {pair.task} with '{line.suffix[:80]}', its record with '{pair.target[:80]}'"


def _pair_faults(record: Row, expected: Mapping[Question, Pair], max_points: int) -> Iterator[str]:
    """Pairs whose prefix does not expand to their prompt, or whose target does not parse back to the record."""
    proof = RecordProof(record, max_points)
    for (prefix, _), pair in expected.items():
        if expand(prefix) != pair.prompt:
            yield f"{record['image_id']}: '{prefix[:80]}' does not expand to the prompt of {pair.task}"
        names = ("task", "prompt", "target", "annotation_ids", "tokens", "truncated")
        if fault := proof.fault({name: getattr(pair, name) for name in names}):
            yield f"{record['image_id']}: {pair.task} {fault}"
