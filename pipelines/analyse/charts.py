"""Charts of rows, for sections of the report. They share axes, tooltips, and how two data sets stand beside each other.

Colours come from the page, which draws a chart again when the theme changes. Strings are cut, because a label may have
thousands of characters. The width is that of the page.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from engine.running.terminal_text import one_line
from pipelines.analyse.figure import Row

if TYPE_CHECKING:
    import altair as alt

LONGEST = 60  # characters of a string in a chart
_PROPERTIES = frozenset(  # of every object in JavaScript
    [
        "__defineGetter__",
        "__defineSetter__",
        "__lookupGetter__",
        "__lookupSetter__",
        "__proto__",
        "constructor",
        "hasOwnProperty",
        "isPrototypeOf",
        "propertyIsEnumerable",
        "toLocaleString",
        "toString",
        "valueOf",
    ]
)
_LEVEL = 110  # values of up to so many characters together stand level below their bars
_ROW_HEIGHT = 18  # pixels of a bar with its gap
_OF_SET = "group of set"  # a column of charts: the group and the data set of a row


def base(rows: Sequence[Row], description: str, *, height: int | None = None) -> alt.Chart:
    """A chart of these rows without marks. `description`: read by screen readers instead of the picture."""
    import altair as alt

    chart = alt.Chart(alt.InlineData(values=[_drawable(row) for row in rows])).properties(
        width="container", description=description
    )
    return chart.properties(height=height) if height else chart


def field(name: str, kind: str, title: str = "", **options: Any) -> dict[str, Any]:
    """An encoding of a column, for `alt.Chart.encode`. `kind`: quantitative, nominal or ordinal."""
    return {"field": name, "type": kind, "title": title or name.replace("_", " "), **options}


def tooltips(titles: Mapping[str, str], rows: Sequence[Row]) -> list[Any]:
    """What hovering shows: these columns under these titles. The data set is added if there are two."""
    import altair as alt

    shown = {**({"set": "data set"} if compared(rows) else {}), **titles}
    return [alt.Tooltip(field=name, type=_kind(rows, name), title=title) for name, title in shown.items()]


def compared(rows: Sequence[Row]) -> bool:
    """Whether the rows are of two data sets."""
    return len({row["set"] for row in rows}) > 1


def bars(
    rows: Sequence[Row],
    *,
    of: str,
    by: str,
    titles: Mapping[str, str],
    description: str,
    group: str = "",
    log: bool = False,
    stacked: bool = False,
) -> alt.Chart | None:
    """Horizontal bars in the order of the rows: the number in the column `by` for each value of the column `of`.

    `group`: a column whose values are bars beside each other. With two data sets, these are the groups. `titles`: of
    the columns in tooltips; those of `of` and `by` are also the titles of the axes. `stacked`: groups on top of each
    other, not beside each other; with two data sets, each has its own bar.
    """
    import altair as alt

    if not (rows := [row for row in rows if row[by] is not None]):
        return None
    rows, colour, beside = _grouped(rows, group, stacked=stacked)
    groups = len({row[beside] for row in rows}) if beside else 1
    names = list(dict.fromkeys(str(shortened(row[of])) for row in rows))
    height = max(60, len(names) * (_ROW_HEIGHT if groups == 1 else 10 * groups + 8))
    x = alt.X(**field(by, "quantitative", titles[by]), scale=alt.Scale(type="symlog") if log else alt.Undefined)
    y = alt.Y(**field(of, "nominal", titles[of]), sort=names)
    encoded: alt.Chart = (
        base(rows, description, height=height).mark_bar().encode(x=x, y=y, tooltip=tooltips(titles, rows))
    )
    if colour:
        title = titles.get(group, "data set")
        encoded = encoded.encode(color=alt.Color(**field(colour, "nominal", title), sort=_values(rows, colour, group)))
    if beside:
        encoded = encoded.encode(yOffset=alt.YOffset(field=beside, type="nominal", sort=_values(rows, beside, group)))
    return encoded


def columns(
    rows: Sequence[Row],
    *,
    of: str,
    by: str,
    titles: Mapping[str, str],
    description: str,
    group: str = "",
    stacked: bool = False,
) -> alt.Chart | None:
    """Vertical bars, for bins and other ordered values. The options are those of `bars`.

    `stacked`: groups on top of each other, not beside each other.
    """
    import altair as alt

    if not (rows := [row for row in rows if row[by] is not None]):
        return None
    rows, colour, beside = _grouped(rows, group, stacked=stacked)
    values = list(dict.fromkeys(row[of] for row in rows))
    level = sum(len(str(value)) + 2 for value in values) <= _LEVEL
    axis = alt.Axis(labelAngle=0, labelOverlap=True) if level else alt.Undefined
    x = alt.X(**field(of, "ordinal", titles[of]), sort=values, axis=axis)
    y = alt.Y(**field(by, "quantitative", titles[by]))
    encoded: alt.Chart = base(rows, description, height=220).mark_bar().encode(x=x, y=y, tooltip=tooltips(titles, rows))
    if colour:
        title = titles.get(group, "data set")
        encoded = encoded.encode(color=alt.Color(**field(colour, "nominal", title), sort=_values(rows, colour, group)))
    if beside:
        encoded = encoded.encode(xOffset=alt.XOffset(field=beside, type="nominal", sort=_values(rows, beside, group)))
    return encoded


def _grouped(rows: Sequence[Row], group: str, *, stacked: bool) -> tuple[list[Row], str, str]:
    """(rows, the column that colours bars, the column whose values have a bar each). '' if there is none.

    With two data sets, groups that are not stacked are those of each set: otherwise the bars of both would add up.
    """
    both = "set" if compared(rows) else ""
    if not group or not both or stacked:
        return list(rows), group or both, both if stacked else group or both
    return [{**row, _OF_SET: f"{row[group]} ({row['set']})"} for row in rows], _OF_SET, _OF_SET


def _values(rows: Sequence[Row], column: str, group: str = "") -> list[Any]:
    """The values of a column in the order of the rows; those of one group follow each other."""
    first = {name: number for number, name in enumerate(dict.fromkeys(row[group] for row in rows))} if group else {}
    return list(dict.fromkeys(row[column] for row in sorted(rows, key=lambda row: first.get(row.get(group), 0))))


def first_of_each(rows: Sequence[Row], column: str, number: int) -> list[Row]:
    """The rows with the first `number` values of a column, in their order. Of two data sets: with those of each."""
    shown: set[object] = set()
    for name in _values(rows, "set"):
        shown.update(_values([row for row in rows if row["set"] == name], column)[:number])
    return [row for row in rows if row[column] in shown]


def line(
    rows: Sequence[Row],
    *,
    x: str,
    y: str,
    titles: Mapping[str, str],
    description: str,
    group: str = "",
    log: bool = False,
) -> alt.Chart | None:
    """A line with points, one for each value of `group`. `log`: both axes are logarithmic."""
    import altair as alt

    if not (rows := [row for row in rows if row[x] is not None and row[y] is not None]):
        return None
    scale = alt.Scale(type="log") if log else alt.Undefined
    encoded: alt.Chart = (
        base(rows, description, height=260)
        .mark_line(point=True)
        .encode(
            x=alt.X(**field(x, "quantitative", titles[x]), scale=scale),
            y=alt.Y(**field(y, "quantitative", titles[y]), scale=scale),
            tooltip=tooltips(titles, rows),
        )
    )
    if group:
        encoded = encoded.encode(color=alt.Color(**field(group, "nominal", titles.get(group, ""))))
    if compared(rows):
        encoded = encoded.encode(strokeDash=alt.StrokeDash(field="set", type="nominal"))
    return encoded


def heat(
    rows: Sequence[Row],
    *,
    x: str,
    y: str,
    value: str,
    titles: Mapping[str, str],
    description: str,
    facet: str = "",
    values: Sequence[str] = (),
) -> alt.TopLevelMixin | None:
    """A heat map: one square for each row. `facet`: a column with one map for each of its values.

    `values`: what both axes show, in this order; by default the values of the rows, in their order.
    """
    import altair as alt

    if not rows:
        return None
    across: list[Any] = [shortened(name) for name in values or dict.fromkeys(row[x] for row in rows)]
    down: list[Any] = [shortened(name) for name in values or dict.fromkeys(row[y] for row in rows)]
    encoded: alt.Chart = (
        base(rows, description, height=max(60, _ROW_HEIGHT * len(down)))
        .mark_rect()
        .encode(
            x=alt.X(**field(x, "ordinal", titles[x]), sort=across, scale=alt.Scale(domain=across)),
            y=alt.Y(**field(y, "ordinal", titles[y]), sort=down, scale=alt.Scale(domain=down)),
            color=alt.Color(**field(value, "quantitative", titles[value])),
            tooltip=tooltips(titles, rows),
        )
    )
    facets = [name for name in (facet, "set" if compared(rows) else "") if name]
    return _faceted(encoded, facets) if facets else encoded


def _faceted(chart: alt.Chart, facets: Sequence[str]) -> alt.FacetChart:
    """A small chart for each value of one or two columns."""
    import altair as alt

    small = chart.properties(width=180, height=180)
    named = alt.Facet(field=facets[0], type="nominal", title=None)
    if len(facets) == 1:
        one: alt.FacetChart = small.facet(facet=named, columns=3)
        return one
    across = alt.Column(field=facets[0], type="nominal", title=None)
    several: alt.FacetChart = small.facet(row=alt.Row(field=facets[1], type="nominal", title=None), column=across)
    return several


def shortened(value: object) -> object:
    """The value as charts show it: strings on one line and not longer than LONGEST.

    Vega keeps values as properties of JavaScript objects, and each of these has one named `constructor`. Such a string
    gets an invisible character.
    """
    if not isinstance(value, str):
        return value
    if value in _PROPERTIES:
        return f"{value}\u2060"
    text = one_line(value[: LONGEST + 1])
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."


def _drawable(row: Row) -> dict[str, Any]:
    return {name: shortened(value) for name, value in row.items()}


def _kind(rows: Sequence[Row], name: str) -> Literal["quantitative", "nominal"]:
    numbers = all(isinstance(row.get(name), int | float) for row in rows if row.get(name) is not None)
    return "quantitative" if numbers else "nominal"
