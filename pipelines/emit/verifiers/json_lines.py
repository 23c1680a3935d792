"""Reads a file of JSON lines beside the records of a release, line by line, and keeps the faults that it finds."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from pipelines.emit.verifiers.check import Check, Row, one_line


class JsonLines:
    """One file whose lines are in the order of the images, each with the `filename` of its image.

    After a line that is of another image or that cannot be read, the rest of the file is not compared: each further
    line would be a fault.
    """

    def __init__(self, folder: Path, name: str, check: Check) -> None:
        self.name, self.number, self._check = name, 0, check
        self._lines = self._read(folder / name)
        self._stopped = False

    @property
    def place(self) -> str:
        """The last line that was read, for a fault."""
        return f"{self.name}, line {self.number}"

    def next(self, filename: str) -> Row | None:
        """The next line, which has to be of this image. None if it is not, or after an earlier such fault."""
        line = self._next(f"{self.name} ends before the line of {filename}")
        if line is not None and line.get("filename") != filename:
            self._stop(f"{self.place} is of {line.get('filename')}, where that of {filename} has to be")
            return None
        return line

    def finish(self) -> None:
        """Checks that there is no further line."""
        line = self._next("")
        if line is not None:
            self._stop(f"{self.place} is of {line.get('filename')}, after the lines of all images")

    def _next(self, at_end: str) -> Row | None:
        """The next line; None after the last, or if it is no JSON object. `at_end`: the fault if there is none."""
        if self._stopped:
            return None
        try:
            line = next(self._lines, None)
            if line is not None:
                self.number += 1
                found = json.loads(line)
                if isinstance(found, dict):
                    return found
                at_end = f"{self.place} is no JSON object"
        except (OSError, ValueError) as error:
            at_end = f"{self.place}: {type(error).__name__}: {one_line(error)}"
        if at_end:
            self._stop(at_end)
        return None

    def _read(self, path: Path) -> Iterator[str]:
        with path.open(encoding="utf-8", newline="\n") as file:
            yield from file

    def _stop(self, fault: str) -> None:
        self._check.faults.append(fault)
        self._stopped = True
