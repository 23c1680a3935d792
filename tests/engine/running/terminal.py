"""A simple terminal emulator for tests of the live line: it keeps the lines on screen and counts wraps."""

from __future__ import annotations

import re

from rich.cells import cell_len

_TOKEN = re.compile(r"\x1b\[([0-9;?]*)([A-Za-z])|(\x1b)|([\r\n])|(.)", re.DOTALL)


class Terminal:
    """`lines`: the text on screen; `wraps`: how often text ran over the right edge. It never scrolls."""

    def __init__(self, columns: int) -> None:
        self.columns = columns
        self.lines = [""]
        self.row = self.column = self.wraps = 0
        self.widest = 0

    def write(self, text: str) -> Terminal:
        for numbers, command, escape, line, char in _TOKEN.findall(text):
            assert not escape, "an escape this terminal does not know"
            if command:
                self._erase(command, numbers)
            elif line:
                self.column = 0
                self.row += line == "\n"
            else:
                self._put(char)
            while len(self.lines) <= self.row:
                self.lines.append("")
        return self

    def resize(self, columns: int) -> None:
        """Wrap the lines again, like most terminals. The cursor stays on its character."""
        before = self.lines[: self.row]
        pieces = [self.lines[self.row][at : at + columns] for at in range(0, len(self.lines[self.row]), columns)]
        self.columns, self.lines = columns, [*before, *(pieces or [""])]
        self.row += self.column // columns
        self.column %= columns

    def _erase(self, command: str, numbers: str) -> None:
        assert command in "JK", f"unknown command {command}"
        assert numbers in ("", "0")
        self.lines[self.row] = self.lines[self.row][: self.column]
        if command == "J":
            del self.lines[self.row + 1 :]

    def _put(self, char: str) -> None:
        assert char.isprintable(), f"{char!r} reached the terminal"
        wide = cell_len(char)
        if self.column + wide > self.columns:
            self.wraps += 1
            self.row, self.column = self.row + 1, 0
            while len(self.lines) <= self.row:
                self.lines.append("")
        line = self.lines[self.row].ljust(self.column)
        self.lines[self.row] = line[: self.column] + char + line[self.column + 1 :]
        self.column += wide
        self.widest = max(self.widest, self.column)
