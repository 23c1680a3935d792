"""Makes text fit for a terminal: escapes control characters, measures width, cuts to fit.

File names and labels may contain anything. Use `one_line` for text within a line, `escaped` for whole pages.
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
    """Like `escaped`, but line breaks and tabs become escapes, too."""
    return _LINE.sub(_escape, str(text))


def _escape(found: re.Match[str]) -> str:
    return found.group().encode("unicode_escape").decode("ascii")


def encodable(text: str, stream: TextIO) -> str:
    """Characters that the stream cannot encode become escapes, so that their width is known."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)


def width(text: str) -> int:
    """Columns on a terminal: two for a CJK character, none for a combining mark."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def cut(text: str, columns: int, mark: str = "...") -> str:
    """The text cut to so many columns; a cut text ends in `mark`."""
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
    """Parts (rank, text) on one line. If they do not fit, parts of the highest rank are left out; rank 0 is cut."""
    left = [(rank, text) for rank, text in parts if text]
    while width(line := between.join(text for _, text in left)) > columns:
        worst = max(rank for rank, _ in left)
        if worst == 0:
            return cut(line, columns)
        left = [part for part in left if part[0] != worst]
    return line


def columns_of(stream: TextIO) -> int:
    """The current width of the stream's terminal."""
    try:
        found = os.get_terminal_size(stream.fileno()).columns
    except (OSError, ValueError, AttributeError):
        found = 0
    return found or _FALLBACK


def is_live(stream: TextIO) -> bool:
    """Whether the stream is a terminal that can redraw a line."""
    return stream.isatty() and os.environ.get("TERM", "") not in ("", "dumb")
