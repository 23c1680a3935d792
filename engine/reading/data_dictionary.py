"""Generates docs/data-dictionary.md: every view of a data set, with the type, unit and meaning of its columns.

    python -m engine.reading.data_dictionary > docs/data-dictionary.md

A test fails if the page and the views differ.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable

from engine.reading.view_meanings import MEANINGS, Described, described, unit

_HEAD = """# Data dictionary

Made by `python -m engine.reading.data_dictionary`: do not edit. `engine query --schema` prints the same.

Each view can be queried by its name: `engine query "SELECT label, count(*) FROM regions WHERE kept GROUP BY ALL"`."""


def data_dictionary() -> str:
    """The page as Markdown."""
    views = itertools.groupby(described(), key=lambda row: row.view)
    return "\n\n".join([_HEAD, *(_section(view, rows) for view, rows in views)]) + "\n"


def _section(view: str, rows: Iterable[Described]) -> str:
    lines = [
        f"## {view}",
        "",
        f"{MEANINGS[view][0].upper()}{MEANINGS[view][1:]}.",
        "",
        "| column | type | unit | meaning |",
        "|---|---|---|---|",
    ]
    for row in rows:
        kind, meaning = row.type.replace('"', ""), row.meaning.replace("|", "\\|").replace("<", "&lt;")
        lines.append(f"| `{row.column}` | {kind} | {unit(view, row.column)} | {meaning} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(data_dictionary(), end="")
