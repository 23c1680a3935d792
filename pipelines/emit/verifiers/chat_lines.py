"""Reads JSONL files of questions and answers line by line, and checks the form that all their formats have."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.emit.chat.lines import IMAGE
from pipelines.emit.chat.questions import ASKED, GIVEN
from pipelines.emit.verifiers.check import Check, one_line


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a file. `row` is None if it is no JSON."""

    number: int
    row: Mapping[str, Any] | None

    @property
    def image(self) -> str:
        """The path of its image; '' unless it names one image."""
        images = self.row.get("images") if self.row else None
        return images[0] if isinstance(images, list) and len(images) == 1 and isinstance(images[0], str) else ""


class LineReader:
    """Reads a file line by line and gives the lines of one image after the other.

    `leads`: the first line of the file may be of any image.
    """

    def __init__(self, path: Path, name: str, check: Check, *, leads: bool) -> None:
        self.name, self.check, self.count = name, check, 0
        self._lines = self._read(path)
        self._leader = next(self._lines, None) if leads else None
        self._next = next(self._lines, None)
        self._seen: set[str] = set()

    def take(self, image: str) -> list[Line]:
        """The lines of this image, which must come next. Lines of an earlier image are faults."""
        found = []
        if self._leader and self._leader.image == image:
            found.append(self._leader)
            self._leader = None
        while self._next and (self._next.image == image or self._next.image in self._seen):
            if self._next.image == image:
                found.append(self._next)
            else:
                self.fault(self._next, f"is about {image_of(self._next.image)} again, out of its place")
            self._next = next(self._lines, None)
        self._seen.add(image)
        return found

    def finish(self) -> None:
        """Reads the rest, in which there should be no line."""
        for line in filter(None, (self._leader, self._next)):
            self.fault(line, f"is about '{line.image}', which the release does not have at this place")
        for _ in self._lines:
            pass

    def fault(self, line: Line, sentence: str) -> None:
        self.check.faults.append(f"{self.name}: line {line.number} {sentence}")

    def _read(self, path: Path) -> Iterator[Line]:
        with path.open("rb") as file:
            for raw in file:
                self.count += 1
                line = Line(self.count, self._parsed(raw))
                if line.row is not None:
                    yield line

    def _parsed(self, raw: bytes) -> Mapping[str, Any] | None:
        cut = "" if raw.endswith(b"\n") else ", the file ends in the middle of it"
        try:
            row = json.loads(raw)
        except ValueError as error:
            self.check.faults.append(f"{self.name}: line {self.count} is no JSON{cut}: {one_line(error)}")
            return None
        if cut or not isinstance(row, dict):
            self.check.faults.append(f"{self.name}: line {self.count} is no whole JSON object{cut}")
            return None
        return row


def image_of(path: str) -> str:
    """The id of an image, from its path."""
    return Path(path).stem


class Wrong(Exception):
    """What is wrong with a line, as the end of a sentence."""


def turns(row: Mapping[str, Any]) -> tuple[str, str]:
    """The texts of the question and of the answer, without the mark of the image.

    Raises Wrong if they are not what ms-swift, LLaMA-Factory and TRL need: first `user`, then `assistant`, with one
    `<image>` for one image.
    """
    messages = row.get("messages")
    if not isinstance(messages, list) or [set(one) for one in messages] != [{"role", "content"}] * 2:
        raise Wrong("has other messages than a question and an answer")
    if [one["role"] for one in messages] != ["user", "assistant"]:
        raise Wrong(f"has the roles {[one['role'] for one in messages]}, not user and assistant")
    user, assistant = (one["content"] for one in messages)
    if not isinstance(user, str) or not isinstance(assistant, str) or not assistant:
        raise Wrong("has a question or an answer that is no text")
    if (user + assistant).count(IMAGE) != 1 or not user.startswith(IMAGE):
        raise Wrong(f"does not begin with its only {IMAGE}")
    return user.removeprefix(IMAGE), assistant


def asked(question: str) -> tuple[str, str]:
    """The task of a question, and the name, caption or box in it. Raises Wrong if no task asks so."""
    for task, words in ASKED.items():
        before, _, _ = words.partition(GIVEN)
        if question == words or (GIVEN in words and question.startswith(before)):
            return task, question.removeprefix(before)
    raise Wrong(f"asks '{question[:80]}', which is no question of a task")
