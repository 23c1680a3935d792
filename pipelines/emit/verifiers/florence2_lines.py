"""Reads an annotations.jsonl line by line, in step with the images of a release."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NamedTuple

KEYS = ("image", "prefix", "suffix")


class Line(NamedTuple):
    """`number`: of the line in its file, from 1."""

    number: int
    image: str
    prefix: str
    suffix: str


class AnnotationFile:
    """The lines of one split. `lines`: how many were read so far. `exists`: whether there is such a file.

    `faults`: the list to which a malformed line is added. Such a line is skipped.
    """

    def __init__(self, folder: Path, name: str, faults: list[str]) -> None:
        self.name, self.lines, self._faults = name, 0, faults
        self._path = folder / name
        self.exists = self._path.is_file()
        if not self.exists:
            faults.append(f"{name} is missing: maestro reads train, valid and test")
        self._rest = self._read()
        self._next = next(self._rest, None)

    def lines_of(self, image: str, ahead: Collection[str], before: Collection[str]) -> Iterator[Line]:
        """The next lines, if they are of this image.

        `ahead`: later images of the shard, before which reading stops. `before`: this image and earlier ones. A line of
        an image that is neither belongs to a later shard, if to any: reading stops there too.
        """
        while self._next is not None and self._next.image not in ahead and self._next.image in before:
            line = self._next
            if line.image == image:
                yield line
            else:
                self._faults.append(f"{self.name}:{line.number} repeats {line.image}, whose lines end further up")
            self._next = next(self._rest, None)

    def rest(self) -> Iterator[str]:
        """The names of the lines that no image took."""
        while self._next is not None:
            yield f"{self.name}:{self._next.number} of {self._next.image}"
            self._next = next(self._rest, None)

    def _read(self) -> Iterator[Line]:
        if not self.exists:
            return
        with self._path.open("rb") as file:
            for number, data in enumerate(file, start=1):
                self.lines = number
                fault, line = _parsed(number, data)
                if line:
                    yield line
                else:
                    self._faults.append(f"{self.name}:{number} {fault}")


def _parsed(number: int, data: bytes) -> tuple[str, Line | None]:
    """(what is wrong with a line, None) or ("", the line)."""
    try:
        content = json.loads(data.decode("utf-8"))
    except ValueError as error:
        return f"is not JSON in UTF-8: {error}", None
    if not isinstance(content, dict) or set(content) != set(KEYS):
        return f"has other keys than {', '.join(KEYS)}", None
    if not all(isinstance(value, str) for value in content.values()):
        return "has a value that is not a text", None
    if not data.endswith(b"\n"):
        return "does not end with a line feed: the file is cut", None
    return "", Line(number, *(content[name] for name in KEYS))
