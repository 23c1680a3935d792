"""The funnel as a flow: what was given runs down, and each rule takes a part out to the right.

Positions are computed from the rows of the query `funnel`; every number is one of its rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipelines.analyse.charts import compared, shortened
from pipelines.analyse.figure import Row
from pipelines.analyse.lanes import lanes, placed, ribbons, written_at
from pipelines.analyse.numbers import written

if TYPE_CHECKING:
    import altair as alt

GIVEN, KEPT, PENDING = "given", "kept", "pending"
LEFT, TAKEN = "still there", "taken"
_TITLES = {"annotation_type": "type", "step": "step", "number": "number", "share": "share of given"}
_GAP = 0.05  # how far a part moves to the right, as a share of the width of what is given
_CURVE = [number / 8 for number in range(9)]
_MOST_LANES = 110  # so that a chart has no more than 500 marks


@dataclass(slots=True)
class _Drawn:
    """The marks so far, by kind, and the names of the lanes."""

    names: list[str]
    bars: list[dict[str, Any]]
    curves: list[dict[str, Any]]
    texts: list[dict[str, Any]]


def flow(rows: Sequence[Row]) -> alt.TopLevelMixin | None:
    drawn = _Drawn([], [], [], [])
    for steps in _blocks(rows):
        if drawn.names and len(drawn.names) + len(steps) > _MOST_LANES:
            break
        _add_block(drawn, steps, compared(rows))
    if not drawn.names:
        return None
    parts = (LEFT, TAKEN, PENDING) if any(row["part"] == PENDING for row in drawn.curves) else (LEFT, TAKEN)
    layers = [placed(drawn.bars, _TITLES, colour=parts, opacity=0.75)]
    layers += [ribbons(drawn.curves, _TITLES, colour=parts)] if drawn.curves else []
    layers.append(written_at(drawn.texts, _TITLES))
    description = "For each type of annotation: how many were given, what each rule took, and how many are kept"
    return lanes(drawn.names, layers, height=21, domain=(0, 1.55), description=description)


def _blocks(rows: Sequence[Row]) -> Iterator[list[Row]]:
    """The steps of each type and data set. What is pending comes before what is kept, because it is not kept yet."""
    blocks: dict[tuple[str, str], list[Row]] = {}
    for kind in dict.fromkeys(row["annotation_type"] for row in rows):
        for row in rows:
            if row["annotation_type"] == kind:
                blocks.setdefault((kind, row["set"]), []).append(row)
    for steps in blocks.values():
        yield sorted(steps, key=lambda row: {GIVEN: 0, PENDING: 2, KEPT: 3}.get(row["step"], 1))


def _add_block(drawn: _Drawn, steps: Sequence[Row], two_sets: bool) -> None:
    given = max(row["number"] for row in steps)
    left = given
    if drawn.names:
        drawn.names.append("")
    for row in steps:
        taken = 0 if row["step"] in (GIVEN, KEPT) else row["number"]
        _add_step(drawn, row, ((left - taken) / given, left / given), two_sets)
        left -= taken


def _add_step(drawn: _Drawn, row: Row, reach: tuple[float, float], two_sets: bool) -> None:
    """Adds a lane. `reach`: how far the flow reaches after the step and before it."""
    top, (after, before) = len(drawn.names), reach
    shown = {name: row.get(name) for name in (*_TITLES, "set")}
    drawn.names.append(_name(row, two_sets))
    drawn.bars.append({**shown, "x": 0, "x2": after, "y": top, "y2": top + 1, "part": LEFT})
    share = "" if row["step"] == GIVEN else f" · {written(row['share'], share=True)}"
    taken = row["step"] not in (GIVEN, KEPT)
    if taken:
        part = PENDING if row["step"] == PENDING else TAKEN
        drawn.curves += [{**shown, **point, "part": part, "ribbon": top} for point in _curve(after, before, top)]
    number = f"{'−' if taken else ''}{written(row['number'])}"
    place = {"x": before + (_GAP if taken else 0) + 0.02, "y": top + 0.5}
    drawn.texts.append({**shown, **place, "text": f"{number}{share}", "short": number})


def _name(row: Row, two_sets: bool) -> str:
    if row["step"] != GIVEN:
        return str(row["step"])
    kind = row["annotation_type"].replace("_", " ").capitalize()
    return f"{kind}, {str(shortened(row['set']))[-24:]}" if two_sets else f"{kind}: given"


def _curve(after: float, before: float, top: int) -> Iterator[Mapping[str, float]]:
    """Points of a part of the flow that leaves it, moving to the right as it goes down."""
    for at in _CURVE:
        moved = _GAP * at * at * (3 - 2 * at)
        yield {"x": after + moved, "x2": before + moved, "y": top + 0.9 * at}
