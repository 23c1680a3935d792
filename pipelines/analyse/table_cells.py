"""Turns the rows of a figure into cells of an HTML table. With two data sets, a row shows both and the difference."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa

from pipelines.analyse.figure import Figure, Row
from pipelines.analyse.numbers import is_number, written
from pipelines.analyse.tables import rows_of

_LONG = 40  # characters


@dataclass(frozen=True, slots=True)
class Cell:
    """`value`: what the column is sorted by and what the SQL gave; '' for null. `number`: whether the column holds
    numbers. `other`: of the second data set."""

    text: str
    value: str
    number: bool
    other: str = ""
    difference: str = ""

    @property
    def long(self) -> bool:
        """Whether the text may take several lines."""
        return len(self.text) > _LONG


@dataclass(frozen=True, slots=True)
class Grid:
    """A table of the page. `columns`: (name in SQL, title, whether it holds numbers)."""

    columns: Sequence[tuple[str, str, bool]]
    rows: Sequence[Sequence[Cell]]


def grid_of(figure: Figure, tables: Sequence[pa.Table]) -> Grid:
    """The table of a figure. `tables`: the rows of its query in one data set, or in two that are compared."""
    schema = tables[0].schema
    names = [name for name in figure.columns or schema.names if name in schema.names]
    numeric = {name: _numeric(schema.field(name).type) for name in names}
    columns = [(name, figure.columns.get(name) or name.replace("_", " "), numeric[name]) for name in names]
    rows = [
        [_cell(figure, name, own, other, number=numeric[name]) for name in names]
        for own, other in _paired(figure, tables)
    ]
    return Grid(columns, rows)


def _numeric(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def _paired(figure: Figure, tables: Sequence[pa.Table]) -> Iterator[tuple[Row | None, Row | None]]:
    """(row of the first data set, row of the second with the same key). Rows that only the second has come last."""
    own, schema = rows_of(tables[0]), tables[0].schema
    if len(tables) == 1:
        yield from ((row, None) for row in own)
        return
    key = figure.key or tuple(name for name in schema.names if not _numeric(schema.field(name).type))
    others: dict[tuple[str, ...], list[Row]] = {}
    for row in rows_of(tables[1]):
        others.setdefault(tuple(str(row.get(name)) for name in key), []).append(row)
    for row in own:
        same = others.get(tuple(str(row.get(name)) for name in key))
        yield row, same.pop(0) if same else None
    yield from ((None, row) for rows in others.values() for row in rows)


def _cell(figure: Figure, name: str, own: Row | None, other: Row | None, *, number: bool) -> Cell:
    share, in_key = name in figure.shares, name in figure.key
    value = (own or (other if in_key and other else {})).get(name)
    second = None if in_key or not other else other.get(name)
    return Cell(
        text=written(value, share=share),
        value="" if value is None else str(value),
        number=number,
        other="" if other is None or in_key else written(second, share=share),
        difference=_difference(value, second, share=share),
    )


def _difference(value: object, other: object, *, share: bool) -> str:
    if not (is_number(value) and is_number(other)):
        return ""
    assert isinstance(value, int | float)
    assert isinstance(other, int | float)
    if value == other:
        return "="
    text = written(abs(value - other), share=share)
    return f"{'+' if value > other else '−'}{text}"
