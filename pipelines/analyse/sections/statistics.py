"""How many annotations there are, of which types, and how long they are (Florence-2, table 2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipelines.analyse.charts import bars, columns, compared
from pipelines.analyse.figure import Figure, Row, Section

if TYPE_CHECKING:
    import altair as alt

_SHOWN = 20  # most bars of a chart; the table has all rows


def _types(rows: Sequence[Row]) -> alt.TopLevelMixin | None:
    return bars(
        rows,
        of="annotation_type",
        by="kept",
        titles={"annotation_type": "type", "kept": "kept", "given": "given", "dropped": "dropped"},
        description="Kept annotations of each type",
    )


def _texts(rows: Sequence[Row]) -> alt.TopLevelMixin | None:
    return bars(
        [{**row, "made": f"{row['granularity']} by {row['producer']}"} for row in rows[:_SHOWN]],
        of="made",
        by="kept",
        titles={"made": "granularity and producer", "kept": "kept", "texts": "made", "mean_tokens": "mean tokens"},
        description="Kept texts of each granularity and producer",
    )


def _producers(rows: Sequence[Row]) -> alt.TopLevelMixin | None:
    """Bars of each producer: what became of its regions."""
    shown = [
        {"set": row["set"], "producer": row["producer"], "outcome": outcome, "number": row[outcome]}
        for row in rows[:_SHOWN]
        for outcome in ("kept", "merged", "dropped")
    ]
    titles = {"producer": "producer", "outcome": "outcome", "number": "regions"}
    description = "Regions of each producer: kept, merged into others, or dropped"
    return bars(
        shown, of="producer", by="number", group="outcome", stacked=True, titles=titles, description=description
    )


def _per_image(rows: Sequence[Row]) -> alt.TopLevelMixin | None:
    both = compared(rows)
    return columns(
        [{**row, "type": f"{row['annotation_type']}{' of ' + row['set'] if both else ''}"} for row in rows],
        of="annotations",
        by="share",
        group="type",
        titles={
            "annotations": "annotations of an image",
            "share": "share of kept images",
            "type": "type",
            "images": "images",
        },
        description="Share of kept images by their number of annotations of each type",
    )


SECTION = Section(
    "statistics",
    "Annotation statistics",
    "How many annotations of each type the rules keep, and how long they are, beside FLD-5B.",
    (
        Figure(
            query="annotation_statistics",
            title="Annotations beside FLD-5B (Florence-2, table 2)",
            reading="Columns with FLD-5B are the figures that the paper publishes for 126 million images.",
            key=("type", "text_type"),
            columns={
                "type": "Type",
                "text_type": "Text type",
                "image_annotations": "Image annotations",
                "avg_tokens": "Tokens",
                "regions": "Regions",
                "avg_regions": "Regions each",
                "avg_regional_tokens": "Words a region",
                "fld5b_image_annotations": "FLD-5B: image annotations",
                "fld5b_avg_tokens": "FLD-5B: tokens",
                "fld5b_regions": "FLD-5B: regions",
                "fld5b_avg_regions": "FLD-5B: regions each",
                "fld5b_avg_regional_tokens": "FLD-5B: words a region",
            },
        ),
        Figure(
            query="annotations_per_type",
            title="Annotations of each type",
            reading="given = kept + dropped + pending. Candidates that were merged into a region count as dropped.",
            chart=_types,
            key=("annotation_type",),
            columns={
                "annotation_type": "Type",
                "given": "Given",
                "kept": "Kept",
                "dropped": "Dropped",
                "pending": "Not judged yet",
            },
            empty="There are no annotations yet.",
        ),
        Figure(
            query="texts_by_granularity",
            title="Texts by granularity and producer",
            chart=_texts,
            key=("granularity", "producer"),
            columns={
                "granularity": "Granularity",
                "producer": "Producer",
                "texts": "Texts",
                "kept": "Kept",
                "mean_tokens": "Tokens",
                "mean_objects": "Objects",
                "mean_object_complexity": "Object complexity",
            },
            empty="There are no texts: add a node that writes captions.",
        ),
        Figure(
            query="producers",
            title="Producers of regions",
            reading="A merged region supports the one it was merged into. The mean score of what is dropped should be "
            "lower than that of what is kept.",
            chart=_producers,
            key=("producer",),
            columns={
                "producer": "Producer",
                "given": "Given",
                "kept": "Kept",
                "merged": "Merged",
                "dropped": "Dropped",
                "mean_score_kept": "Mean score of kept",
                "mean_score_dropped": "Mean score of dropped",
            },
            empty="There are no regions: add a detector.",
        ),
        Figure(
            query="annotations_per_image",
            title="Annotations of an image",
            chart=_per_image,
            key=("annotation_type", "annotations"),
            columns={"annotation_type": "Type", "annotations": "Annotations", "images": "Images", "share": "Share"},
            shares=frozenset(("share",)),
            table=False,
            empty="No image is kept, or none has annotations.",
        ),
    ),
)
