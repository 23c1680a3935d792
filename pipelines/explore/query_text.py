"""The answer of `engine query` as text: a table for people, csv or json for programs.

Python's csv module writes the csv, because pyarrow.csv cannot write lists and structs.
"""

from __future__ import annotations

import csv
import io
import itertools
import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from engine.errors import ConfigError, unknown
from engine.reading.dataset import Dataset
from engine.reading.sql import connect, named_queries, named_query, stream_query, views_in
from engine.reading.view_meanings import MEANINGS, Described, described
from engine.running.terminal_text import cut, one_line, padded, width
from pipelines.explore.query import reads_truth, statement_of

FORMATS = ("table", "csv", "json")
CELL = 60  # characters of a cell
ROWS = 100  # rows of a table
COUNTED = 1_000_000  # the rows that are not shown are counted, up to this number
Row = Sequence[Any]


def query_lines(open_dataset: Callable[[], Dataset], sql: str, named: str, form: str, of: str = "") -> Iterator[str]:
    """Yields the lines of the answer while it is computed, because it may be larger than the memory.

    The data set is opened only when it is needed: `named="list"` needs none.
    """
    if form not in FORMATS:
        raise unknown("format", form, FORMATS)
    statement = "" if named == "list" and not sql.strip() else statement_of(sql, named)
    if not statement:
        yield _named_queries()
        return
    with connect(open_dataset(), of=of, measuring=reads_truth(statement), only=views_in(named)) as con:
        schema, batches = stream_query(con, statement)
        yield from _FORMATTERS[form](schema.names, _rows(batches))


def _rows(batches: Iterable[pa.RecordBatch]) -> Iterator[Row]:
    for batch in batches:
        try:
            columns = [column.to_pylist() for column in batch.columns]
        except (ValueError, OverflowError, pa.ArrowException) as error:  # such as a date beyond the years of Python
            raise ConfigError(f"The answer cannot be shown: {error}; cast that column to VARCHAR.") from None
        yield from zip(*columns, strict=True)


def schema_text(form: str) -> str:
    """The views and columns that every data set has, and what they mean."""
    if form not in FORMATS:
        raise unknown("format", form, FORMATS)
    rows = described()
    if form != "table":
        return "\n".join(_FORMATTERS[form](list(Described._fields), iter(rows)))
    wide = max(len(row.column) for row in rows) + 2
    lines: list[str] = []
    for view, columns in itertools.groupby(rows, key=lambda row: row.view):
        lines += ["", f"{view}: {MEANINGS[view]}"]
        lines += [f"  {row.column:<{wide}}{_type(row.type):<12}{row.meaning}" for row in columns]
    return "\n".join(lines[1:])


def _type(kind: str) -> str:
    """The type of a column. The fields of structs are left out, because the column's meaning describes them."""
    return re.sub(r"STRUCT\(.*\)", "STRUCT", kind)


def _named_queries() -> str:
    known = named_queries()
    width = max(map(len, known), default=0) + 2
    return "\n".join(f"{name:<{width}}{_comment(name)}" for name in known) or "There are no named queries."


def _comment(name: str) -> str:
    """The comment at the start of a named query."""
    lines = []
    for line in named_query(name).splitlines():
        if not line.startswith("--"):
            break
        lines.append(line.lstrip("- ").strip())
    return " ".join(lines)


def _table(names: Sequence[str], rows: Iterator[Row]) -> Iterator[str]:
    first = list(itertools.islice(rows, ROWS))
    cells = [[_cell(value) for value in row] for row in first]
    heads = [_cut(name) for name in names]
    widths = [max(width(row[at]) for row in [heads, *cells]) for at in range(len(names))]
    right = [all(isinstance(row[at], int | float | None) for row in first) for at in range(len(names))]
    for row in [heads, ["-" * w for w in widths], *cells]:
        yield "  ".join(padded(cell, w, right=end) for cell, w, end in zip(row, widths, right, strict=True)).rstrip()
    if more := sum(1 for _ in itertools.islice(rows, COUNTED)):
        hidden = f"{more} more of {len(first) + more} rows" if more < COUNTED else f"more than {COUNTED:,} more rows"
        yield f"... {hidden}: add a LIMIT, or --format csv for all."
    elif not first:
        yield "(no rows)"


def _cell(value: Any) -> str:
    if isinstance(value, float) and not isinstance(value, bool):
        return f"{value:.6g}"
    return _cut(_text(value))


def _cut(text: str) -> str:
    return cut(one_line(text[: 10 * CELL]), CELL)


def _text(value: Any) -> str:
    """A value as text: '' for null, JSON for nested values."""
    if value is None:
        return ""
    return (
        json.dumps(_plain(value), ensure_ascii=False, default=str) if isinstance(value, list | Mapping) else str(value)
    )


def _csv(names: Sequence[str], rows: Iterator[Row]) -> Iterator[str]:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    for row in itertools.chain([names], ([_text(value) for value in row] for row in rows)):
        writer.writerow(row)
        yield out.getvalue().removesuffix("\n")
        out.seek(0)
        out.truncate()


def _json(names: Sequence[str], rows: Iterator[Row]) -> Iterator[str]:
    """Yields the lines of a JSON list, with one row on each line."""
    before = "["
    for row in rows:
        found = {name: _plain(value) for name, value in zip(names, row, strict=True)}
        yield before + json.dumps(found, ensure_ascii=False, default=str)
        before = ","
    yield "]" if before == "," else "[]"


_FORMATTERS: dict[str, Callable[[Sequence[str], Iterator[Row]], Iterator[str]]] = {
    "table": _table,
    "csv": _csv,
    "json": _json,
}


def _plain(value: Any) -> Any:
    """The value with null in place of NaN and infinity, which JSON lacks."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return {key: _plain(item) for key, item in value.items()} if isinstance(value, Mapping) else value
