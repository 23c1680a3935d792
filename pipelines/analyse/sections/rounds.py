"""What the rounds of refinement changed, and what the gate decided on them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipelines.analyse.charts import bars, base, compared, field, tooltips
from pipelines.analyse.figure import Figure, Row, Section

if TYPE_CHECKING:
    import altair as alt

_NONE = "No rounds of refinement: a recipe with refine.rounds makes them (engine run --stage refine)."
_NO_CHANGES = "No such changes: there are no rounds of refinement, none was accepted, or this is a release."
_SCORES = {"round": "round", "decision": "decision", "figure": "figure", "before": "before", "after": "after"}
_SCORES |= {"change": "change", "low": "95 %: from", "high": "95 %: to"}
_MOST = 60  # figures in the chart


def _changes(rows: Sequence[Row]) -> alt.TopLevelMixin | None:
    titles = {"change": "change", "number": "number", "kept": "kept by the rules", "decision": "decision"}
    named = [{**row, "round": f"round {row['round']}, {row['decision']}"} for row in rows]
    if compared(rows):
        named = [{**row, "round": f"{row['round']}, {row['set']}"} for row in named]
    description = "Number of changes of each kind in each round"
    return bars(
        named, of="change", by="number", group="round", titles=titles | {"round": "round"}, description=description
    )


def _scores(rows: Sequence[Row]) -> alt.TopLevelMixin | None:
    """A point for the change of each figure, with its 95 % interval, and a line at no change."""
    import altair as alt

    rows = [row for row in rows if row["low"] is not None and row["high"] is not None][:_MOST]
    if not rows:
        return None
    named = [{**row, "name": f"{row['round']}: {row['figure']}", "zero": 0} for row in rows]
    if compared(rows):
        named = [{**row, "name": f"{row['name']}, {row['set']}"} for row in named]
    chart = base(named, "Change of each score in each round, with 95 % intervals", height=20 * len(named))
    y = alt.Y(**field("name", "nominal", "round: figure"), sort=[row["name"] for row in named])
    colour = alt.Color(**field("decision", "nominal", "decision"), sort=["accepted", "refused"])
    title = "change in the round, with its 95 % interval"
    range_ = chart.mark_rule(strokeWidth=3).encode(
        x=alt.X(**field("low", "quantitative", title)), x2="high:Q", y=y, color=colour, tooltip=tooltips(_SCORES, rows)
    )
    point = chart.mark_point(filled=True, size=60).encode(
        x=alt.X(**field("change", "quantitative", title)), y=y, color=colour, tooltip=tooltips(_SCORES, rows)
    )
    zero = chart.mark_rule(strokeDash=[4, 4]).encode(x=alt.X(**field("zero", "quantitative", title)))
    return alt.LayerChart(layer=[zero, range_, point])


SECTION = Section(
    "rounds",
    "Rounds of refinement",
    "Students look at the images again and correct the labels; the gate accepts a round or refuses it.",
    (
        Figure(
            query="round_decisions",
            title="Decisions of the gate",
            reading="Shares are of the regions, or texts, that could change. Agreement: F1 of the student that agrees "
            "least with labels it was not trained on. A refused round changed nothing.",
            key=("round",),
            columns={
                "round": "Round",
                "decision": "Decision",
                "agreement": "Agreement",
                "changed": "Changed",
                "dropped": "Dropped",
                "relabelled": "Relabelled",
                "added": "Added",
                "texts_changed": "Texts changed",
                "changes": "Changes",
                "reasons": "Reasons to refuse",
                "alarms": "Alarms",
            },
            shares=frozenset(("changed", "dropped", "relabelled", "added", "texts_changed")),
            empty=_NONE,
        ),
        Figure(
            query="round_reasons",
            title="Reasons and alarms of the gate",
            reading="A reason refused the round. An alarm did not, but a person should check it.",
            key=("round", "kind", "nth"),
            columns={"round": "Round", "decision": "Decision", "kind": "Kind", "sentence": "What the gate wrote"},
            empty="No reasons and alarms: there are no rounds of refinement, all is well, or this is a release, which "
            "keeps reasons only.",
        ),
        Figure(
            query="round_scores",
            title="Scores before and after each round",
            reading="Against the labels of people on audit images, which no student saw. An interval that lies left "
            "of 0 is a fall that is more than chance.",
            chart=_scores,
            key=("round", "figure"),
            columns={
                "round": "Round",
                "decision": "Decision",
                "figure": "Figure",
                "before": "Before",
                "after": "After",
                "change": "Change",
                "low": "95 %: from",
                "high": "95 %: to",
            },
            empty="No scores: there are no rounds of refinement, no audit images with labels of people (ingest.audit), "
            "or this is a release, which does not keep them.",
        ),
        Figure(
            query="round_changes",
            title="Changes of each kind",
            reading="Kept: the rules of the data set keep the result of the change now.",
            chart=_changes,
            key=("round", "change"),
            columns={
                "round": "Round",
                "decision": "Decision",
                "change": "Change",
                "number": "Number",
                "kept": "Kept by the rules",
            },
            empty=_NONE,
        ),
        Figure(
            query="round_labels",
            title="Labels that were added, dropped and changed",
            reading="A pair of labels that is changed often in one direction is either an error of the annotators "
            "that was corrected, or one that the students learned: the examples below show which.",
            key=("round", "change", "old_label", "new_label"),
            columns={
                "round": "Round",
                "change": "Change",
                "old_label": "Label before",
                "new_label": "Label after",
                "number": "Number",
                "kept": "Kept by the rules",
                "all_changes": "All such changes",
            },
            empty=_NO_CHANGES,
        ),
        Figure(
            query="round_examples",
            title="Examples of changes",
            reading="Five of each kind and round.",
            key=("round", "change", "image_id", "annotation_id"),
            columns={
                "round": "Round",
                "change": "Change",
                "before": "Before",
                "after": "After",
                "value": "Value",
                "threshold": "Threshold",
                "kept": "Kept by the rules",
                "image_id": "Image",
                "annotation_id": "Annotation",
            },
            empty=_NO_CHANGES,
        ),
    ),
)
