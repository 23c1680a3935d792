"""What each rule took, in pictures: the flow from given to kept, and what is close to the threshold of each rule."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pipelines.analyse.figure import Figure, Row, Section
from pipelines.analyse.flow import flow
from pipelines.analyse.lanes import lanes, placed, rules_at
from pipelines.analyse.numbers import written

if TYPE_CHECKING:
    import altair as alt

_MEASURED = (
    "No values: the data set is not judged yet, is a release, or no recorded run has the recipe of these verdicts. "
    "Values are also missing for rules that compare no numbers."
)
_SIDES = {"annotation_type": "type", "rule": "rule", "threshold": "threshold", "outcome": "outcome"}
_SIDES |= {"value_from": "values from", "value_to": "values to", "number": "number"}
_MOST_LANES = 24


def _around_thresholds(rows: Sequence[Row]) -> alt.TopLevelMixin | None:
    """One small histogram for each rule and threshold, all with the threshold in the middle."""
    groups: dict[tuple[object, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault((row["annotation_type"], row["rule"], row["set"], row["threshold"]), []).append(row)
    if not groups:
        return None
    order = list(dict.fromkeys(group[:2] for group in groups))  # so that two data sets stand below each other
    first = rows[0]["set"]
    shown = sorted(groups, key=lambda group: order.index(group[:2]))[:_MOST_LANES]
    names, bars = [], list[dict[str, Any]]()
    for lane, (kind, rule, data_set, threshold) in enumerate(shown):
        names.append(f"{rule if data_set == first else 'other:'} {written(threshold)}")
        bars += _histogram(lane, groups[kind, rule, data_set, threshold])
    thresholds = [{"x": 0, "y": lane, "y2": lane + 1} for lane in range(len(names))]
    layers = [placed(bars, _SIDES, colour=("kept", "taken")), rules_at(thresholds)]
    description = "For each rule: how many values lie how far below (left) and above (right) its threshold"
    return lanes(names, layers, height=44, domain=(-10, 10), description=description)


def _histogram(lane: int, group: Sequence[Row]) -> list[dict[str, Any]]:
    """Bars of one lane. Those of one bin stand on each other; their height is the square root of their number."""
    totals: dict[int, int] = {}
    for row in group:
        totals[row["bin"]] = totals.get(row["bin"], 0) + row["number"]
    heights = {number: 0.92 * math.sqrt(total / max(totals.values())) for number, total in totals.items()}
    bottoms, bars = dict.fromkeys(totals, lane + 1.0), []
    for row in group:
        bottom = bottoms[row["bin"]]
        bottoms[row["bin"]] = bottom - heights[row["bin"]] * row["number"] / totals[row["bin"]]
        place = {"x": row["bin"] + 0.05, "x2": row["bin"] + 0.95, "y": bottoms[row["bin"]], "y2": bottom}
        bars.append({name: row.get(name) for name in (*_SIDES, "set")} | place | {"part": row["outcome"]})
    return bars


SECTION = Section(
    "funnel",
    "What each rule took",
    "From what was given to what is kept, in the order in which the rules apply.",
    (
        Figure(
            query="funnel",
            title="From given to kept",
            reading="Each type of annotation runs down; its width is what is still there, and what a rule takes leaves "
            "to the right. A rule that takes most of a type, or nothing at all, deserves a look.",
            chart=flow,
            key=("annotation_type", "step"),
            columns={"annotation_type": "Type", "step": "Step", "number": "Number", "share": "Share of given"},
            shares=frozenset(("share",)),
            table=False,
            empty="There are no images yet.",
        ),
        Figure(
            query="rule_effects",
            title="Rules and their thresholds",
            reading="The values are those of what the rule took. Share of what was left: of the rows that the rules "
            "above it passed on.",
            key=("annotation_type", "rule"),
            columns={
                "annotation_type": "Type",
                "rule": "Rule",
                "taken": "Taken",
                "share": "Share of all",
                "share_of_left": "Share of what was left",
                "least_value": "Least value",
                "greatest_value": "Greatest value",
                "least_threshold": "Least threshold",
                "greatest_threshold": "Greatest threshold",
            },
            shares=frozenset(("share", "share_of_left")),
            empty="No rule took anything, or nothing is judged yet: engine run --stage filter judges.",
        ),
        Figure(
            query="rule_histogram",
            title="Values around each threshold",
            reading="The line in the middle of each row is the threshold that stands beside the rule; bars left of it "
            "are lower values. Heights are square roots of the numbers, so that few are seen beside many. The first "
            "and the last bar hold everything beyond. Many values close to the line mean that a small change of the "
            "threshold changes much. From a sample of shards. In a comparison, rows named other are of the other "
            "data set.",
            chart=_around_thresholds,
            key=("annotation_type", "rule", "threshold", "bin", "outcome"),
            columns={
                "annotation_type": "Type",
                "rule": "Rule",
                "threshold": "Threshold",
                "bin": "Bin",
                "value_from": "From",
                "value_to": "To",
                "outcome": "Outcome",
                "number": "Number",
                "histograms": "Histograms in all",
            },
            table=False,
            empty=_MEASURED,
        ),
        Figure(
            query="barely_passed",
            title="What barely passed, beside what was just taken",
            reading="The values nearest to each threshold on either side, from a sample of shards. If what was taken "
            "looks as good as what passed, the threshold is too strict; if what passed looks as bad, it is too lax.",
            key=("annotation_type", "rule", "outcome", "image_id", "annotation_id"),
            columns={
                "annotation_type": "Type",
                "rule": "Rule",
                "outcome": "Outcome",
                "value": "Value",
                "threshold": "Threshold",
                "what": "Label or text",
                "image_id": "Image",
                "annotation_id": "Annotation",
            },
            empty=_MEASURED,
        ),
    ),
)
