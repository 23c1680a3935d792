"""What a section of the report consists of: figures. A figure is the result of one named query, as a chart and a table.

Every number on the page is in the result of a query, so it can be checked by running the SQL shown beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import altair as alt

Row = Mapping[str, Any]
# Draws the rows of the figure's query. Each has also a column "set", the name of its data set: with --compare there are
# two. Returns None if there is nothing to draw.
Chart = Callable[[Sequence[Row]], "alt.TopLevelMixin | None"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One chart and table.

    `query`: name of the query (engine/reading/queries) and of the Parquet table with its rows.
    `reading`: how to read it, in one or two sentences.
    `key`: the columns that identify a row. With --compare, rows of both data sets with the same key share a line.
    `columns`: {column: title} of the table, in order. Empty: all columns under their own names.
    `shares`: columns that are printed as per cent. `table`: whether the table is open from the start.
    `empty`: the sentence on the page if the query gives no rows.
    `form`: "cards" shows the rows as large numbers, from the columns measure, number and note. The rows of all figures
    with "findings" also make up the list at the start of their section (findings.py).
    """

    query: str
    title: str
    reading: str = ""
    chart: Chart | None = None
    key: tuple[str, ...] = ()
    columns: Mapping[str, str] = field(default_factory=dict)
    shares: frozenset[str] = frozenset()
    table: bool = True
    empty: str = "Nothing to show."
    form: Literal["table", "cards", "findings"] = "table"


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the page. `name`: its anchor, which links use."""

    name: str
    title: str
    reading: str
    figures: Sequence[Figure]
