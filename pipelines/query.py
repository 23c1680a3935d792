"""A query's answer as a table for people, or as csv or json for programs.

The data set is opened only if it is needed: `--named list` works without one.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from engine.dataset import Dataset
from engine.errors import ConfigError, unknown
from engine.sql import named_queries, named_query, query

FORMATS = ("table", "csv", "json")
CELL = 60  # characters of a cell that are shown
ROWS = 100


def render_query(open_dataset: Callable[[], Dataset], sql: str, named: str, form: str, of: str = "") -> str:
    """ConfigError unless exactly one of `sql` and `named` is given. `of`: "judge/<key>" or "releases/<name>"."""
    if form not in FORMATS:
        raise unknown("format", form, FORMATS)
    if bool(sql.strip()) == bool(named):
        found = "both" if named else "neither"
        raise ConfigError(f'Give either a query or --named, found {found}: engine query "SELECT ..." or --named list.')
    if named == "list":
        return _listed()
    table = query(open_dataset(), named_query(named) if named else sql, of=of)
    rows = list(zip(*(column.to_pylist() for column in table.columns), strict=True))
    return {"table": _table, "csv": _csv, "json": _json}[form](table.column_names, rows)


def _listed() -> str:
    known = named_queries()
    width = max(map(len, known), default=0) + 2
    return "\n".join(f"{name:<{width}}{_comment(name)}" for name in known) or "There are no named queries."


def _comment(name: str) -> str:
    """What a query's first lines say of it."""
    lines = []
    for line in named_query(name).splitlines():
        if not line.startswith("--"):
            break
        lines.append(line.lstrip("- ").strip())
    return " ".join(lines)


def _table(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    shown = [[_cell(value) for value in row] for row in rows[:ROWS]]
    heads = [_cut(name) for name in names]
    widths = [max(len(row[at]) for row in [heads, *shown]) for at in range(len(names))]
    right = [all(isinstance(row[at], int | float | None) for row in rows[:ROWS]) for at in range(len(names))]
    lines = ["  ".join(_aligned(row, widths, right)).rstrip() for row in [heads, ["-" * w for w in widths], *shown]]
    if len(rows) > ROWS:
        lines.append(f"... {len(rows) - ROWS} more of {len(rows)} rows: add a LIMIT, or --format csv for all.")
    elif not rows:
        lines.append("(no rows)")
    return "\n".join(lines)


def _aligned(row: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> list[str]:
    return [f"{cell:>{w}}" if end else f"{cell:<{w}}" for cell, w, end in zip(row, widths, right, strict=True)]


def _cell(value: Any) -> str:
    if isinstance(value, float) and not isinstance(value, bool):
        return f"{value:.6g}"
    return _cut(_word(value).replace("\n", "\\n").replace("\t", " "))


def _cut(text: str) -> str:
    return text if len(text) <= CELL else text[: CELL - 3] + "..."


def _word(value: Any) -> str:
    """'' for null; nested values as JSON."""
    if value is None:
        return ""
    return (
        json.dumps(_plain(value), ensure_ascii=False, default=str) if isinstance(value, list | Mapping) else str(value)
    )


def _csv(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(names)
    writer.writerows([_word(value) for value in row] for row in rows)
    return out.getvalue().rstrip("\n")


def _json(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    found = [{name: _plain(value) for name, value in zip(names, row, strict=True)} for row in rows]
    return json.dumps(found, ensure_ascii=False, indent=1, default=str)


def _plain(value: Any) -> Any:
    """JSON has no NaN and no infinity."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return {key: _plain(item) for key, item in value.items()} if isinstance(value, Mapping) else value
