"""Where boxes are, how large and of which shape (Florence-2, figure 5), by type of annotation, kind and producer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipelines.analyse.charts import columns, heat, line
from pipelines.analyse.figure import Figure, Row, Section

if TYPE_CHECKING:
    import altair as alt

_TYPES = {"region_text_share": "region-text", "text_phrase_region_share": "text-phrase-region"}
_SIDE = "share of the side of the image, from"
_ASPECT = "log2 of width / height, from"
_NO_BOXES = "There are no kept boxes: run annotate with a component that gives boxes, then filter."


def _by_type(rows: Sequence[Row]) -> list[Row]:
    """One row for each type, because the queries of the paper's figure have a column for each."""
    return [
        {**row, "type": type_, "share": row[column]}
        for row in rows
        for column, type_ in _TYPES.items()
        if row[column] is not None
    ]


def _areas(rows: Sequence[Row]) -> alt.TopLevelMixin | None:
    titles = {"side_from": _SIDE, "share": "share of boxes", "type": "type"}
    described = "Distribution of the sizes of kept boxes, for region-text and text-phrase-region"
    return columns(_by_type(rows), of="side_from", by="share", group="type", titles=titles, description=described)


def _aspects(rows: Sequence[Row]) -> alt.TopLevelMixin | None:
    titles = {"log2_from": _ASPECT, "share": "share of boxes", "type": "type"}
    described = "Distribution of the shapes of kept boxes, for region-text and text-phrase-region"
    return columns(_by_type(rows), of="log2_from", by="share", group="type", titles=titles, description=described)


def _centres(rows: Sequence[Row]) -> alt.TopLevelMixin | None:
    return _grid(rows, "type", "Centres of kept boxes in a grid, for region-text and text-phrase-region")


def _of_producer(rows: Sequence[Row]) -> list[Row]:
    return [{**row, "boxes of": f"{row['kind']}: {row['producer']}"} for row in rows]


def _producer_areas(rows: Sequence[Row]) -> alt.TopLevelMixin | None:
    titles = {"side_from": _SIDE, "share": "share of boxes", "boxes of": "kind: producer", "boxes": "boxes"}
    described = "Distribution of the sizes of kept boxes, one line for each kind and producer"
    return line(_of_producer(rows), x="side_from", y="share", group="boxes of", titles=titles, description=described)


def _producer_aspects(rows: Sequence[Row]) -> alt.TopLevelMixin | None:
    titles = {"log2_from": _ASPECT, "share": "share of boxes", "boxes of": "kind: producer", "boxes": "boxes"}
    described = "Distribution of the shapes of kept boxes, one line for each kind and producer"
    return line(_of_producer(rows), x="log2_from", y="share", group="boxes of", titles=titles, description=described)


def _producer_centres(rows: Sequence[Row]) -> alt.TopLevelMixin | None:
    described = "Centres of kept boxes in a grid, one for each kind and producer"
    return _grid(_of_producer(rows), "boxes of", described)


def _grid(rows: Sequence[Row], facet: str, description: str) -> alt.TopLevelMixin | None:
    titles = {"x": "tenth of the width", "y": "tenth of the height", "share": "share of boxes", "boxes": "boxes"}
    return heat(rows, x="x", y="y", value="share", facet=facet, titles=titles, description=description)


_SHARE = frozenset(("share",))
_TYPE_COLUMNS = {
    "region_text": "Region-text",
    "region_text_share": "Share",
    "text_phrase_region": "Text-phrase-region",
    "text_phrase_region_share": "Share",
}
_PRODUCER_COLUMNS = {"boxes": "Boxes", "share": "Share"}

_BY_TYPE = (
    Figure(
        query="spatial_area",
        title="Areas of boxes (figure 5a)",
        reading="A box that covers a quarter of its image is in the bin from 0.5. In the paper, region-text has more "
        "small boxes, and text-phrase-region is nearly uniform.",
        chart=_areas,
        key=("side_from",),
        columns={"side_from": "Side from", "side_to": "to", **_TYPE_COLUMNS},
        shares=frozenset(_TYPES),
        table=False,
        empty=_NO_BOXES,
    ),
    Figure(
        query="spatial_aspect",
        title="Aspect ratios of boxes (figure 5b)",
        reading="0 is a square, 1 is twice as wide as tall, -1 twice as tall as wide. In the paper, both types are "
        "about symmetric.",
        chart=_aspects,
        key=("log2_from",),
        columns={"log2_from": "log2 from", "log2_to": "to", "aspect_from": "Width / height from", **_TYPE_COLUMNS},
        shares=frozenset(_TYPES),
        table=False,
        empty=_NO_BOXES,
    ),
    Figure(
        query="spatial_centre_by_type",
        title="Centres of boxes (figures 5c and 5d)",
        reading="The image from above left to below right, in tenths. In the paper, both types favour the centre, and "
        "region-text is more uniform. A single cell with a high share is a fixed thing, such as a logo.",
        chart=_centres,
        key=("type", "x", "y"),
        columns={"type": "Type", "x": "Tenth of the width", "y": "Tenth of the height", **_PRODUCER_COLUMNS},
        shares=_SHARE,
        table=False,
        empty=_NO_BOXES,
    ),
)
_BY_PRODUCER = (
    Figure(
        query="spatial_area_by_producer",
        title="Areas by kind and producer",
        reading="A producer whose boxes are all large misses small objects, or a rule drops them.",
        chart=_producer_areas,
        key=("kind", "producer", "side_from"),
        columns={
            "kind": "Kind",
            "producer": "Producer",
            "side_from": "Side from",
            "side_to": "to",
            **_PRODUCER_COLUMNS,
        },
        shares=_SHARE,
        table=False,
        empty=_NO_BOXES,
    ),
    Figure(
        query="spatial_aspect_by_producer",
        title="Aspect ratios by kind and producer",
        reading="Printed text is wide. Objects of all producers should have similar curves.",
        chart=_producer_aspects,
        key=("kind", "producer", "log2_from"),
        columns={
            "kind": "Kind",
            "producer": "Producer",
            "log2_from": "log2 from",
            "log2_to": "to",
            "aspect_from": "Width / height from",
            **_PRODUCER_COLUMNS,
        },
        shares=_SHARE,
        table=False,
        empty=_NO_BOXES,
    ),
    Figure(
        query="spatial_centre_by_producer",
        title="Centres by kind and producer",
        reading="Producers that saw the same images should have similar maps.",
        chart=_producer_centres,
        key=("kind", "producer", "x", "y"),
        columns={
            "kind": "Kind",
            "producer": "Producer",
            "x": "Tenth of the width",
            "y": "Tenth of the height",
            **_PRODUCER_COLUMNS,
        },
        shares=_SHARE,
        table=False,
        empty=_NO_BOXES,
    ),
)

SECTION = Section(
    "spatial",
    "Spatial coverage",
    "Sizes, shapes and places of kept boxes (Florence-2, figure 5, which prints no numbers). Region-text counts each "
    "kept region once; text-phrase-region counts a region once for each kept phrase that names it.",
    (*_BY_TYPE, *_BY_PRODUCER),
)
