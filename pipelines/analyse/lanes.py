"""Charts of lanes: named rows of equal height, in each of which marks have positions of their own.

Positions inside lane i run from i at its top to i + 1 at its bottom. The names are an axis of their own, because an
axis of numbers cannot show them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pipelines.analyse.charts import field, shortened, tooltips
from pipelines.analyse.figure import Row

if TYPE_CHECKING:
    import altair as alt

_NARROW = 420


def lanes(
    names: Sequence[str], layers: Sequence[alt.Chart], *, height: int, domain: tuple[float, float], description: str
) -> alt.LayerChart:
    """The chart. `layers`: made by the functions below. `height`: of a lane, in pixels. `domain`: of x."""
    import altair as alt

    named = [{"lane": f"{number:03d} {shortened(name)}"} for number, name in enumerate(names)]
    axis = alt.Axis(title=None, labelExpr="slice(datum.label, 4)", ticks=False, domain=False, labelLimit=170)
    scale = alt.Scale(padding=0)
    labels = (
        alt.Chart(alt.InlineData(values=named))
        .mark_rect(opacity=0, tooltip=None, aria=False)
        .encode(y=alt.Y(field="lane", type="ordinal", sort=None, scale=scale, axis=axis))
    )
    bottom = alt.Scale(domain=[0, len(names)], reverse=True, nice=False, zero=False)
    across = alt.Scale(domain=list(domain), nice=False, zero=False)
    moved = [
        layer.encode(y=_with_scale(layer.encoding.y, bottom), x=_with_scale(layer.encoding.x, across))
        for layer in layers
    ]
    drawn: alt.LayerChart = (
        alt.layer(labels, *moved)
        .resolve_scale(y="independent")
        .properties(width="container", height=height * len(names), description=description)
    )
    return drawn


def placed(rows: Sequence[Row], titles: Mapping[str, str], *, colour: Sequence[str], **options: Any) -> alt.Chart:
    """Rectangles. Rows have `x`, `x2`, `y`, `y2`, and `part`, whose values are `colour`, in the order of the legend."""
    return _coloured(_data(rows).mark_rect(**options), rows, titles, colour).encode(**_rectangle())


def ribbons(rows: Sequence[Row], titles: Mapping[str, str], *, colour: Sequence[str]) -> alt.Chart:
    """Areas from top to bottom. Rows are points with `x`, `x2` and `y`; those of an area have the same `ribbon`."""
    import altair as alt

    areas = _data(rows).mark_area(orient="horizontal", strokeWidth=1, line={"strokeWidth": 1})
    places = {**_rectangle(), "detail": alt.Detail(field="ribbon", type="nominal")}
    return _coloured(areas, rows, titles, colour).encode(**{name: places[name] for name in ("x", "x2", "y", "detail")})


def written_at(rows: Sequence[Row], titles: Mapping[str, str]) -> alt.Chart:
    """The column `text` at `x`, `y`, or the column `short` in a chart that is narrower than _NARROW pixels."""
    import altair as alt

    places = {name: one for name, one in _rectangle().items() if name in ("x", "y")}
    text = alt.ExprRef(f"width < {_NARROW} ? datum.short : datum.text")
    texts = _data(rows).mark_text(align="left", baseline="middle", fontSize=12, text=text)
    encoded: alt.Chart = texts.encode(tooltip=tooltips(titles, rows), **places)
    return encoded


def rules_at(rows: Sequence[Row]) -> alt.Chart:
    """Vertical lines at `x` from `y` to `y2`."""
    places = {name: one for name, one in _rectangle().items() if name in ("x", "y", "y2")}
    encoded: alt.Chart = _data(rows).mark_rule(strokeWidth=2).encode(**places)
    return encoded


def _data(rows: Sequence[Row]) -> alt.Chart:
    import altair as alt

    return alt.Chart(alt.InlineData(values=[{name: shortened(value) for name, value in row.items()} for row in rows]))


def _rectangle() -> dict[str, Any]:
    import altair as alt

    return {
        "x": alt.X(**field("x", "quantitative"), axis=None),
        "x2": alt.X2(field="x2"),
        "y": alt.Y(**field("y", "quantitative"), axis=None),
        "y2": alt.Y2(field="y2"),
    }


def _coloured(chart: alt.Chart, rows: Sequence[Row], titles: Mapping[str, str], parts: Sequence[str]) -> alt.Chart:
    import altair as alt

    colour = alt.Color(field="part", type="nominal", title=None, scale=alt.Scale(domain=list(parts)))
    encoded: alt.Chart = chart.encode(color=colour, tooltip=tooltips(titles, rows))
    return encoded


def _with_scale(channel: Any, scale: alt.Scale) -> Any:
    copied = channel.copy(deep=False)
    copied.scale = scale
    return copied
