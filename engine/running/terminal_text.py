"""Prepares text for a terminal: escapes control characters, measures the width, shortens it to fit.

File names and labels may contain any characters. Use `one_line` for text within a line and `escaped` for whole pages.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import TextIO

# Control characters, marks that change the writing direction, line separators, lone surrogates.
_CONTROL = "\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\u2028\u2029\ufeff\ud800-\udfff"
_PAGE = re.compile(f"[{_CONTROL}]")
_LINE = re.compile(f"[{_CONTROL}\t\n]")
_FALLBACK = 80  # columns, if the terminal reports none


def escaped(text: str) -> str:
    """Control characters become visible escapes, such as \\x1b. Line breaks and tabs stay."""
    return _PAGE.sub(_escape, text)


def one_line(text: object) -> str:
    """The text on one line. Control characters, line breaks and tabs become visible escapes."""
    return _LINE.sub(_escape, str(text))


def _escape(found: re.Match[str]) -> str:
    return found.group().encode("unicode_escape").decode("ascii")


def encodable(text: str, stream: TextIO) -> str:
    """The text with escapes for characters that the stream cannot encode. Its width is then known."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)


def width(text: str) -> int:
    """The number of columns that text takes on a terminal. A CJK character takes two, a combining mark none."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def cut(text: str, columns: int, mark: str = "...") -> str:
    """The text, shortened to `columns` if it is wider. A shortened text ends with `mark`."""
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
    """Join parts, each given as (rank, text), to a line of at most `columns`.

    If they are too wide, parts of the highest rank are left out, then those of the next. Parts of rank 0 are shortened.
    """
    left = [(rank, text) for rank, text in parts if text]
    while width(line := between.join(text for _, text in left)) > columns:
        worst = max(rank for rank, _ in left)
        if worst == 0:
            return cut(line, columns)
        left = [part for part in left if part[0] != worst]
    return line


def columns_of(stream: TextIO) -> int:
    """The current width of the stream's terminal, in columns."""
    try:
        found = os.get_terminal_size(stream.fileno()).columns
    except (OSError, ValueError, AttributeError):
        found = 0
    return found or _FALLBACK


def is_live(stream: TextIO) -> bool:
    """Whether the stream is a terminal on which a line can be redrawn."""
    return stream.isatty() and os.environ.get("TERM", "") not in ("", "dumb")
