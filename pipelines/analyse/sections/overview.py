"""The first section: the main numbers, what looks wrong, and which runs and recipe made the data set."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipelines.analyse.charts import bars
from pipelines.analyse.figure import Figure, Row, Section

if TYPE_CHECKING:
    import altair as alt

_FINDINGS = {"severity": "Severity", "finding": "Finding", "number": "Number", "expected": "Expected"}


def _outcomes(rows: Sequence[Row]) -> alt.TopLevelMixin | None:
    return bars(
        [row for row in rows if row["outcome"] != "all inputs"],
        of="outcome",
        by="number",
        titles={"outcome": "outcome", "number": "inputs"},
        description="Number of inputs by outcome",
    )


def _findings(query: str, title: str, reading: str) -> Figure:
    return Figure(
        query=query,
        title=title,
        reading=reading,
        form="findings",
        columns=_FINDINGS,
        key=("finding",),
        table=False,
        empty="Nothing stands out here.",
    )


SECTION = Section(
    "overview",
    "Overview",
    "The main numbers, and what looks wrong. A finding leads to the figure that shows more. Serious: the data set "
    "should not be used before you have looked. Warning: unusual. Note: good to know.",
    (
        Figure(
            query="overview",
            title="Main numbers",
            form="cards",
            key=("measure",),
            table=False,
            empty="The data set has no input: run the recipe.",
        ),
        Figure(
            query="inputs_by_outcome",
            title="Inputs by outcome",
            reading="Every input has one outcome; together they are all inputs.",
            chart=_outcomes,
            key=("outcome",),
            columns={"outcome": "Outcome", "number": "Inputs", "share": "Share"},
            shares=frozenset(("share",)),
            empty="No source was listed yet: run the recipe.",
        ),
        Figure(
            query="runs_latest",
            title="Latest runs",
            reading="The latest run comes first. Times are in UTC.",
            key=("run",),
            columns={
                "run": "Run",
                "ended": "Ended",
                "stage": "Stage",
                "seconds": "Seconds",
                "new_inputs": "New inputs",
                "release": "Release",
                "error": "Error",
                "command": "Command",
            },
            empty="No run has ended yet.",
        ),
        Figure(
            query="recipe_parts",
            title="Recipe of the latest run",
            key=("part", "name"),
            columns={"part": "Part", "name": "Name", "options": "Options"},
            table=False,
            empty="The last run has no recipe.",
        ),
        _findings(
            "findings_inputs",
            "Findings: sources and images",
            "Sources that gave no image or lost many, unread and copied inputs, licences, images not judged yet, and "
            "images for measuring without human labels. The limits are in the SQL.",
        ),
        _findings(
            "findings_rules",
            "Findings: rules",
            "Rules that drop more than usual of a type, or much more of one producer or label than of others.",
        ),
        _findings(
            "findings_producers",
            "Findings: producers",
            "Nodes that failed or gave nothing, and producers that give the boxes of one label another name.",
        ),
        _findings(
            "findings_texts",
            "Findings: texts and boxes",
            "Texts that are repeated, missing, not parsed or in other languages, and boxes as large as the image.",
        ),
    ),
)
