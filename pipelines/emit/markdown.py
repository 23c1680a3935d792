"""Text, code and tables in Markdown, for the data card.

Labels, licences and names come from other people's files, so they may hold anything. `escape` makes any text safe for
one cell of a table: it is shown as it is, and is neither markup nor HTML.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

_MARKUP = re.compile(r"([\\`*\[\]|~$]|(?<![^\W_])_|_(?![^\W_]))")  # "_" inside a word is no markup
_LONGEST = 160  # characters of one cell
_TEXT = ("Cc", "Cf", "Cs", "Co", "Zl", "Zp")  # Unicode categories that are not shown, or that change the direction


def escape(text: str, longest: int = _LONGEST) -> str:
    """The text on one line, without anything that Markdown or HTML gives a meaning."""
    shown = "".join(" " if unicodedata.category(one) in _TEXT else one for one in text)
    line = " ".join(shown.split())
    if len(line) > longest:
        line = f"{line[: longest - 1]}…"
    line = line.replace("&", "&amp;").replace("<", "&lt;")
    return _MARKUP.sub(r"\\\1", line)


def code(text: str) -> str:
    """The text as code; escaped text if it cannot be code in a table."""
    plain = text.isprintable() and text.strip() == text and text and len(text) <= _LONGEST
    return f"`{text}`" if plain and not set("`|") & set(text) else escape(text)


def fenced(text: str, language: str) -> str:
    """A block of code. Its fence is longer than any run of backticks in the text."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text.rstrip()}\n{fence}"


def table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A table. The cells are Markdown: text of other people must be escaped."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def counted(head: Sequence[str], counts: Mapping[str, int], at_most: int = 0, empty: str = "not stated") -> str:
    """A table of two columns with escaped names and numbers. `at_most`: further rows are summed up in a last row."""
    items = list(counts.items())
    shown = items[:at_most] if at_most and len(items) > at_most + 1 else items
    rows = [(escape(name) or empty, f"{number:,}") for name, number in shown]
    if rest := items[len(shown) :]:
        rows.append((f"{len(rest):,} others", f"{sum(number for _, number in rest):,}"))
    return table(head, rows)


def several(number: int, one: str, many: str = "") -> str:
    """A number with the right form of the noun: 1 image, 2 images."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def listed(names: Sequence[str]) -> str:
    """a, b and c."""
    return " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))
