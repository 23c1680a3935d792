"""Checks JSONL files of questions and answers: what `verifiers/swift.py` and `verifiers/qwen.py` share.

The lines of an image follow each other, in the order of the images in the shards. Each line is parsed back to a
question, its boxes are turned to pixels of the upright image, and both are compared with what the record holds. A
box may differ from its record by half a unit of the format, and by one unit if it is only one unit long.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from engine.images.decode import EXTENSIONS, image_id
from engine.images.orientation import orient_box
from engine.layout import LOOSE_IMAGES
from engine.reading.release_manifest import Manifest
from engine.records.boxes import Box
from model.pairs.compile import compile_pairs
from model.pairs.options import PairOptions
from model.pairs.pair import Pair
from pipelines.emit.chat.frames import MAX_RATIO, Frame, opened_frame
from pipelines.emit.chat.lines import UP
from pipelines.emit.chat.questions import ASKED, Question, questions
from pipelines.emit.verifiers.chat_lines import Line, LineReader, Wrong
from pipelines.emit.verifiers.check import Check, Row, ShardContent, Verifier, not_installed, one_line
from pipelines.emit.verifiers.messages_program import Answers, read_jsonl

_EXACT = 0.001  # how far a box in pixels may be from its record, because of rounding


class ChatVerifier:
    """Checks the files of one format. Subclasses define `parse` and `units`."""

    FOLDER = ""
    REFUSES_LONG_IMAGES = False
    LEADS = False  # whether the first line of a file may be of any image
    READ_BY: tuple[str, ...] = ("datasets",)  # the libraries that read its files

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self.folder, self.manifest = folder, manifest
        self.check = Check(f"{self.FOLDER}: every question and answer parses back to its record")
        options = PairOptions(**manifest["recipe"].get("emit", {}).get("pairs", {}))
        tasks = [task for task in ASKED if not options.tasks or task in options.tasks]
        self.options = options.model_copy(update={"tasks": tasks}) if tasks else None
        starts = f"{self.FOLDER}/"
        self._rows = {file["name"]: file["rows"] for file in manifest["files"] if file["name"].startswith(starts)}
        self.lines: dict[str, int] = {}  # {file: its lines}, for the libraries of trainers
        self._readers: dict[str, LineReader | None] = {}
        self._left_out: Counter[str] = Counter()
        self._questions = 0

    def parse(self, row: Mapping[str, Any]) -> Question:
        """The question of a line, with boxes in units of the format. Raises Wrong if a rule of the format is broken."""
        raise NotImplementedError

    def units(self, frame: Frame) -> tuple[float, float] | None:
        """How many units make the width and the height of an image; None if boxes are exact pixels."""
        raise NotImplementedError

    def read(self, shard: ShardContent) -> None:
        for record in shard.records:
            self.check.attempt(f"{self.FOLDER}: {record['image_id']}", lambda record=record: self._image(shard, record))  # type: ignore[misc]

    def finish(self) -> None:
        """Compares the counts with the manifest."""
        for reader in self._readers.values():
            if reader:
                reader.finish()
        counts = {reader.name: reader.count for reader in self._readers.values() if reader}
        jsonl = {name: rows for name, rows in self._rows.items() if name.endswith(".jsonl")}
        for name, rows in jsonl.items():
            if counts.get(name, 0) != rows:
                self.check.faults.append(f"{name} has {counts.get(name, 0)} lines, the manifest has {rows}")
        stated = self.manifest.get("formats", {}).get(self.FOLDER, {"left_out": {}})["left_out"]
        if dict(self._left_out) != stated:
            self.check.faults.append(
                f"{self.FOLDER} lacks {_numbers(self._left_out)} for reasons, the manifest has {_numbers(stated)}"
            )
        self.lines = {name: count for name, count in counts.items() if count}
        self.check.detail = f"{self._questions} questions"

    def compare(self, answers: Answers) -> None:
        """Compares the number of lines with the rows that the libraries of trainers read."""
        for package, answer in answers.items():
            if "missing" in answer:
                self.check.skipped.append(not_installed(str(answer["missing"])))
            elif "error" in answer:
                self.check.faults.append(f"{package} cannot read {', '.join(self.lines)}: {one_line(answer['error'])}")
            elif answer["rows"] != sum(self.lines.values()):
                self.check.faults.append(f"{package} reads {answer['rows']} rows, {sum(self.lines.values())} are there")

    def _reader(self, split: str) -> LineReader | None:
        if split not in self._readers:
            name = f"{self.FOLDER}/{split}.jsonl"
            exists = (self.folder / name).is_file()
            self._readers[split] = self._open(name) if exists else None
            if not exists and name in self._rows:
                self.check.faults.append(f"{name} is missing")
        return self._readers[split]

    def _open(self, name: str) -> LineReader:
        return LineReader(self.folder / name, name, self.check, leads=self.LEADS)

    def in_order(self, lines: Sequence[Line], expected: Sequence[Question]) -> Sequence[Line]:
        """The lines of an image in the order of its questions."""
        return lines

    def _image(self, shard: ShardContent, record: Row) -> None:
        """Compares the lines of one image with its record."""
        name = f"{record['image_id']}.{EXTENSIONS[record['format']]}"
        path = f"{LOOSE_IMAGES}/{shard.split}/{name}"
        reader = self._reader(shard.split)
        lines = reader.take(UP + path) if reader else []
        upright = Frame(record["width"], record["height"])
        expected = questions(record, self._pairs(record), upright, self._left_out)
        if self.REFUSES_LONG_IMAGES and upright.ratio > MAX_RATIO:
            self._left_out.update({"long_image": len(expected)} if expected else {})
            expected = []
        if len(lines) != len(expected):
            self.check.faults.append(
                f"{self.FOLDER} has {len(lines)} lines about {record['image_id']}, its record makes {len(expected)}"
            )
        elif lines and (frame := self._opened(path, record)) and reader:
            for line, question in zip(self.in_order(lines, expected), expected, strict=True):
                if fault := self._line_fault(line, question, frame):
                    reader.fault(line, f"about {record['image_id']} {fault}")
            self._questions += len(lines)

    def _pairs(self, record: Row) -> Sequence[Pair]:
        """The pairs of a record that become questions."""
        if not self.options:
            return ()
        return compile_pairs(record, width=record["width"], height=record["height"], options=self.options).pairs

    def _opened(self, path: str, record: Row) -> Frame | None:
        """The frame of an image as Pillow opens it, or None if it is not the image of the record."""
        from PIL import Image

        try:
            data = (self.folder / path).read_bytes()
            frame, size = opened_frame(data), Image.open(self.folder / path).size
        except Exception as error:  # noqa: BLE001  # a missing file, or whatever Pillow raises
            self.check.faults.append(f"{path} cannot be opened: {type(error).__name__}: {one_line(error)}")
            return None
        turned = (frame.height, frame.width) if frame.orientation >= 5 else (frame.width, frame.height)
        if image_id(data) != record["image_id"] or turned != (record["width"], record["height"]):
            self.check.faults.append(f"{path} is another image than that of its record")
        elif size != (frame.width, frame.height):
            self.check.faults.append(f"{path} opens as {size}, its boxes are for {(frame.width, frame.height)}")
        else:
            return frame
        return None

    def _line_fault(self, line: Line, expected: Question, frame: Frame) -> str:
        try:
            found = self.parse(line.row or {})
        except Wrong as wrong:
            return str(wrong)
        if (found.task, found.given) != (expected.task, expected.given):
            return f"asks {found.task} '{found.given[:80]}', its record makes {expected.task} '{expected.given[:80]}'"
        if found.text != expected.text:
            return f"answers '{found.text[:80]}', its record has '{expected.text[:80]}'"
        labels = [[named.label for named in question.boxes] for question in (found, expected)]
        if labels[0] != labels[1]:
            return f"names {_first_other(*labels)} than its record"
        boxes = [[*([one.box] if one.box else []), *(named.box for named in one.boxes)] for one in (found, expected)]
        if len(boxes[0]) != len(boxes[1]):
            return f"has {len(boxes[0])} boxes, its record has {len(boxes[1])}"
        for box, wanted in zip(*boxes, strict=True):
            if not self._is_near(box, wanted, frame):
                return f"has the box {list(box)}, which is not that of its record, {list(wanted)} in upright pixels"
        return ""

    def _is_near(self, box: Box, wanted: Box, frame: Frame) -> bool:
        """Whether a box in units of the format is that of the record, a box of the upright image."""
        units = self.units(frame)
        across, down = (frame.width / units[0], frame.height / units[1]) if units else (1.0, 1.0)
        x1, y1, x2, y2 = box
        slack = (_slack(x2 - x1, across), _slack(y2 - y1, down)) if units else (_EXACT, _EXACT)
        pixels = (x1 * across, y1 * down, x2 * across, y2 * down)
        upright = orient_box(pixels, frame.width, frame.height, frame.orientation)
        if frame.orientation >= 5:
            slack = (slack[1], slack[0])
        return all(
            abs(value - other) <= slack[axis % 2]
            for axis, (value, other) in enumerate(zip(upright, wanted, strict=True))
        )


def read_by_trainers(verifiers: Iterable[Verifier]) -> None:
    """Reads the files of messages as trainers do, of all formats in one process. Runs after `finish`.

    A format with faults is left out, because the libraries would report the same faults again.
    """
    chats = [verifier for verifier in verifiers if isinstance(verifier, ChatVerifier)]
    sound = {chat.FOLDER: chat for chat in chats if chat.lines and not chat.check.faults}
    wanted = {name: ([str(chat.folder / file) for file in chat.lines], chat.READ_BY) for name, chat in sound.items()}
    for name, answers in (read_jsonl(wanted) if wanted else {}).items():
        sound[name].compare(answers)


def _slack(length: float, unit: float) -> float:
    """How far an end of a box may be from its record, in pixels."""
    return (1.0 if length <= 1 else 0.5) * unit + _EXACT


def _first_other(found: Sequence[str], expected: Sequence[str]) -> str:
    if len(found) != len(expected):
        return f"{len(found)} regions instead of {len(expected)}, other"
    return next(f"'{one[:80]}', another" for one, other in zip(found, expected, strict=True) if one != other)


def _numbers(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{number} {reason}" for reason, number in sorted(counts.items())) or "nothing"
