"""Where boxes are, how large and of which shape (Florence-2, figure 5)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipelines.analyse.charts import columns
from pipelines.analyse.figure import Figure, Row, Section

if TYPE_CHECKING:
    import altair as alt


def _areas(rows: Sequence[Row]) -> alt.TopLevelMixin | None:
    return columns(
        rows,
        of="side_from",
        by="region_text_share",
        titles={"side_from": "square root of the share of the image, from", "region_text_share": "share of boxes"},
        description="Distribution of the sizes of kept boxes",
    )


SECTION = Section(
    "spatial",
    "Spatial coverage",
    "Sizes, shapes and places of kept boxes.",
    (
        Figure(
            query="spatial_area",
            title="Areas of boxes",
            chart=_areas,
            key=("side_from",),
            shares=frozenset(("region_text_share", "text_phrase_region_share")),
        ),
    ),
)
