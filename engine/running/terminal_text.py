"""Text for a terminal: how wide it is there, cut to fit, and without the characters that would command it.

A file name or a label may hold anything. `shown` is for what stands within a line, `printable` for whole pages.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import TextIO

# Control characters, marks that reverse the direction of writing, separators of lines, halves of surrogate pairs.
_COMMANDS = "\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\u2028\u2029\ufeff\ud800-\udfff"
_PAGE = re.compile(f"[{_COMMANDS}]")
_LINE = re.compile(f"[{_COMMANDS}\t\n]")
_FALLBACK = 80  # columns, where a terminal does not tell


def printable(text: str) -> str:
    """Characters that would command a terminal become their escapes, as \\x1b; line breaks and tabs stay."""
    return _PAGE.sub(_escape, text)


def shown(text: object) -> str:
    """The same within one line: line breaks and tabs become escapes, too."""
    return _LINE.sub(_escape, str(text))


def _escape(found: re.Match[str]) -> str:
    return found.group().encode("unicode_escape").decode("ascii")


def encodable(text: str, stream: TextIO) -> str:
    """What the stream's encoding has no character for becomes an escape, so that its width is known."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)


def width(text: str) -> int:
    """Columns a terminal needs: CJK takes two, combining marks none."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def cut(text: str, columns: int, mark: str = "...") -> str:
    """At most so many columns; what was cut ends in `mark`."""
    if width(text) <= columns:
        return text
    if columns <= len(mark):
        return mark[: max(columns, 0)]
    from rich.cells import set_cell_size

    return set_cell_size(text, columns - len(mark)).rstrip() + mark


def padded(text: str, columns: int, *, right: bool = False) -> str:
    space = " " * (columns - width(text))
    return space + text if right else text + space


def joined(parts: Sequence[tuple[int, str]], columns: int, between: str = " | ") -> str:
    """Parts (rank, text) on one line. Where there is no room those of the highest rank go first; rank 0 is cut."""
    left = [(rank, text) for rank, text in parts if text]
    while width(line := between.join(text for _, text in left)) > columns:
        worst = max(rank for rank, _ in left)
        if worst == 0:
            return cut(line, columns)
        left = [part for part in left if part[0] != worst]
    return line


def columns_of(stream: TextIO) -> int:
    """Of the terminal as it is now; people resize it."""
    try:
        found = os.get_terminal_size(stream.fileno()).columns
    except (OSError, ValueError, AttributeError):
        found = 0
    return found or _FALLBACK


def is_live(stream: TextIO) -> bool:
    """Whether a line can be redrawn there."""
    return stream.isatty() and os.environ.get("TERM", "") not in ("", "dumb")
