"""How many annotations there are, of which types, and how long they are (Florence-2, table 2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipelines.analyse.charts import bars
from pipelines.analyse.figure import Figure, Row, Section

if TYPE_CHECKING:
    import altair as alt


def _types(rows: Sequence[Row]) -> alt.TopLevelMixin | None:
    return bars(
        rows,
        of="annotation_type",
        by="kept",
        titles={"annotation_type": "type", "kept": "kept", "given": "given", "dropped": "dropped"},
        description="Kept annotations of each type",
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
        Figure(query="annotations_per_type", title="Annotations of each type", chart=_types, key=("annotation_type",)),
    ),
)
