"""Writes questions and answers as lines of JSON with `messages` and `images`, one line for each question.

The path of an image is relative to the folder of the JSONL file. `<image>` stands once in each line, before the
question, because ms-swift and LLaMA-Factory put the image there.
"""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, BinaryIO

from pipelines.emit.chat.frames import Frame, opened_frame
from pipelines.emit.chat.questions import Question, questions
from pipelines.emit.writers.format import Merge, Sample

IMAGE = "<image>"
UP = "../"  # from the folder of a format to the folder of the release


class Turn:
    """A question and its answer as a model gets them. `objects`: what ms-swift puts in place of placeholders."""

    def __init__(self, user: str, assistant: str, objects: Mapping[str, Sequence[Any]] | None = None) -> None:
        self.user, self.assistant, self.objects = user, assistant, objects

    def line(self, image_path: str) -> bytes:
        messages = [
            {"role": "user", "content": IMAGE + self.user},
            {"role": "assistant", "content": self.assistant},
        ]
        row: dict[str, object] = {"messages": messages, "images": [UP + image_path]}
        if self.objects is not None:
            row["objects"] = self.objects
        return json.dumps(row, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode() + b"\n"


class ChatWriter:
    """Writes the part of one shard. `turn`: writes a question, given the frame in which a trainer opens the image.

    `max_ratio`: the model refuses longer images, so they are left out with all their questions (reason `long_image`).
    """

    def __init__(self, file: BinaryIO, turn: Callable[[Question, Frame], Turn], max_ratio: float = 0) -> None:
        self._file, self._turn, self._max_ratio = file, turn, max_ratio
        self._rows = 0
        self.left_out: Counter[str] = Counter()

    def add(self, sample: Sample) -> None:
        frame = opened_frame(sample.data)
        asked = list(questions(sample.row, sample.pairs, frame, self.left_out))
        if self._max_ratio and frame.ratio > self._max_ratio:
            self.left_out.update({"long_image": len(asked)} if asked else {})
            return
        self._rows += len(asked)
        self._file.writelines(self._turn(question, frame).line(sample.image_path) for question in asked)

    def finish(self) -> int:
        return self._rows


def merge_lines(merge: Merge, folder: str, leads: bytes = b"") -> list[str]:
    """Writes "<folder>/<split>.jsonl" for each split that has lines. Returns these splits.

    `leads`: the first line that contains it is moved to the front of the file.
    """
    written = []
    for split in merge.splits:
        if next(merge.lines(split), None) is None:
            continue
        written.append(split)
        with merge.file(f"{folder}/{split}.jsonl") as file:
            for line in _with_the_leading_one_first(merge, split, leads):
                file.write(line + b"\n")
                file.rows += 1
    return written


def _with_the_leading_one_first(merge: Merge, split: str, leads: bytes) -> Iterator[bytes]:
    number = next((number for number, line in enumerate(merge.lines(split)) if leads in line), 0)
    yield next(itertools.islice(merge.lines(split), number, None))
    yield from (line for at, line in enumerate(merge.lines(split)) if at != number)
