"""The health of the data: failures, sources, copies, scores, languages, licences, sizes and splits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pipelines.analyse.charts import bars, columns, heat
from pipelines.analyse.figure import Figure, Row, Section

if TYPE_CHECKING:
    import altair as alt

_OUTCOMES = ("kept", "dropped", "duplicates", "not_usable", "not_read", "removed")
_SHOWN = 20  # most bars of a chart; the table has all rows


def _sources(rows: Sequence[Row]) -> alt.TopLevelMixin | None:
    """Bars of each source, with the inputs of each outcome on top of each other."""
    shown: list[dict[str, Any]] = []
    for row in rows[:_SHOWN]:
        numbers = {**row, "dropped": row["images"] - row["kept"]}
        shown += [
            {"set": row["set"], "source": row["source"], "outcome": name.replace("_", " "), "number": numbers[name]}
            for name in _OUTCOMES
        ]
    return bars(
        shown,
        of="source",
        by="number",
        group="outcome",
        stacked=True,
        titles={"source": "source", "outcome": "outcome", "number": "inputs"},
        description="Inputs of each source by outcome",
    )


def _failures(rows: Sequence[Row]) -> alt.TopLevelMixin | None:
    return bars(
        [{**row, "failure": f"{row['component']}: {row['reason']}"} for row in rows[:_SHOWN]],
        of="failure",
        by="number",
        titles={"failure": "component and reason", "number": "images or inputs"},
        description="Failures by component and reason",
    )


def _scores(rows: Sequence[Row]) -> alt.TopLevelMixin | None:
    return heat(
        sorted(({**row, "score": f"{row['name']} ({row['producer']})"} for row in rows), key=_bin),
        x="bin",
        y="score",
        value="share",
        titles={
            "bin": "bin, from least to greatest value",
            "score": "score",
            "share": "share of images",
            "value_from": "from",
            "value_to": "to",
            "number": "images",
        },
        description="Distribution of each score of images in twenty bins",
    )


def _bin(row: Row) -> int:
    return int(row["bin"])


def _shares(column: str, title: str, description: str, *, upright: bool = False) -> Any:
    """A chart of the number of images, or texts, for each value of a column."""

    def chart(rows: Sequence[Row]) -> alt.TopLevelMixin | None:
        number = "texts" if rows and "texts" in rows[0] else "images"
        titles = {column: title, number: number, "kept": "kept", "share": "share"}
        draw = columns if upright else bars
        return draw(rows[:_SHOWN], of=column, by=number, titles=titles, description=description)

    return chart


_SHARE = frozenset(("share", "kept_share"))

SECTION = Section(
    "health",
    "Data health",
    "Which inputs and images failed, what each source gave, copies, scores, languages, licences, sizes and splits.",
    (
        Figure(
            query="inputs_by_source",
            title="Inputs of each source",
            reading="A source without inputs has a row with 0: its folder is empty, or its options match no file.",
            chart=_sources,
            key=("source",),
            columns={
                "source": "Source",
                "inputs": "Inputs",
                "images": "Images",
                "kept": "Kept",
                "kept_share": "Kept of images",
                "duplicates": "Duplicates",
                "not_usable": "Not usable",
                "not_read": "Not read yet",
                "removed": "Removed",
                "missing": "Missing now",
                "gone": "Gone",
                "left_out": "Most left out",
            },
            shares=_SHARE,
            empty="No source was listed yet: run the recipe.",
        ),
        Figure(
            query="failures_by_reason",
            title="Failures by component and reason",
            reading="Each failure is one image or input that a component could not use; later nodes leave it out.",
            chart=_failures,
            key=("component", "reason"),
            columns={"component": "Component", "reason": "Reason", "number": "Images or inputs", "example": "Example"},
            empty="Nothing failed.",
        ),
        Figure(
            query="failure_examples",
            title="Examples of failures",
            key=("component", "reason", "file"),
            table=False,
            empty="Nothing failed.",
        ),
        Figure(
            query="duplicate_groups",
            title="Exact copies",
            reading="A group is inputs with the same bytes; it becomes one image.",
            chart=_shares("group_size", "inputs with the same bytes", "Images by number of inputs with the same bytes"),
            key=("group_size",),
            columns={"group_size": "Inputs in the group", "images": "Images", "inputs": "Inputs", "kept": "Kept"},
        ),
        Figure(
            query="duplicates",
            title="Images listed more than once",
            key=("image_id",),
            table=False,
            empty="No image was listed more than once.",
        ),
        Figure(
            query="near_duplicates",
            title="Near-duplicates that the rules dropped",
            reading="The distance to the kept image, in bins up to the limit of the rule. Many near the limit: look at "
            "some of them, they may be different photos.",
            key=("rule", "least_distance"),
            shares=_SHARE,
            empty="No image was dropped as a near-duplicate, or no rule looks for them (near_duplicate).",
        ),
        Figure(
            query="score_histograms",
            title="Quality and safety scores",
            reading="Each line is a score that a node measured on the kept images, from its least to its greatest "
            "value. A single dark square far from the others shows outliers.",
            chart=_scores,
            key=("producer", "name", "bin"),
            shares=_SHARE,
            table=False,
            empty="No node measures images: add one such as image_quality or nsfw.",
        ),
        Figure(
            query="quality",
            title="Scores in numbers",
            key=("producer", "name", "code"),
            table=False,
            empty="No node measures images: add one such as image_quality or nsfw.",
        ),
        Figure(
            query="languages",
            title="Languages of texts",
            chart=_shares("language", "language", "Texts by language"),
            key=("producer", "language"),
            shares=_SHARE,
            empty="No node identifies languages: add `language: {use: language}`.",
        ),
        Figure(
            query="repeated_texts",
            title="Texts that are repeated",
            reading="A caption that many images share says little about each of them.",
            key=("granularity", "text"),
            columns={
                "granularity": "Granularity",
                "number": "Times",
                "share": "Share",
                "images": "Images",
                "producers": "Producers",
                "text": "Text",
            },
            shares=_SHARE,
            empty="No kept text occurs twice.",
        ),
        Figure(
            query="licences",
            title="Licences",
            chart=_shares("licence", "licence", "Images by licence"),
            key=("licence",),
            shares=_SHARE,
            empty="There is no image.",
        ),
        Figure(
            query="image_sizes",
            title="Sizes of images",
            chart=_shares("shorter_side", "shorter side in pixels", "Images by their shorter side", upright=True),
            key=("shorter_side",),
            shares=_SHARE,
            empty="There is no image.",
        ),
        Figure(
            query="image_aspects",
            title="Shapes of images",
            chart=_shares("width_by_height", "width / height", "Images by width divided by height", upright=True),
            key=("width_by_height",),
            shares=_SHARE,
            empty="There is no image.",
        ),
        Figure(
            query="image_formats",
            title="File formats",
            chart=_shares("format", "format", "Images by file format"),
            key=("format",),
            shares=_SHARE,
            empty="There is no image.",
        ),
        Figure(
            query="splits",
            title="Splits",
            reading="Only images of the split train are released; audit images are for measuring.",
            chart=_shares("split", "split", "Images by split"),
            key=("split",),
            shares=_SHARE,
            empty="There is no image.",
        ),
    ),
)
