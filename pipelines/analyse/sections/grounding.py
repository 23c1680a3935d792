"""How texts and regions are linked: which nouns are grounded in a region, and which regions a text mentions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipelines.analyse.charts import bars, columns, first_of_each
from pipelines.analyse.figure import Figure, Row, Section

if TYPE_CHECKING:
    import altair as alt

_COVERAGE = {"grounded_nouns": "nouns", "grounded_chunks": "noun chunks"}
_LABELS = 25  # bars of labels or nouns
_SHARE = frozenset(("share",))
_NO_PHRASES = "There are no kept phrases: run a grounder (label_grounder, for example), then filter."


def _coverage(rows: Sequence[Row]) -> alt.TopLevelMixin | None:
    long = [
        {**row, "of": of, "share": row[column]}
        for row in rows
        if row["producer"] == "all"
        for column, of in _COVERAGE.items()
    ]
    titles = {"granularity": "granularity", "share": "share in a grounded phrase", "of": "of the", "texts": "texts"}
    described = "Share of nouns and noun chunks that a phrase grounds, by granularity"
    return columns(long, of="granularity", by="share", group="of", titles=titles, description=described)


def _phrases(rows: Sequence[Row]) -> alt.TopLevelMixin | None:
    titles = {"phrases": "phrases of a text", "share": "share of texts", "granularity": "granularity", "texts": "texts"}
    described = "Distribution of the number of phrases of a text, by granularity"
    return columns(
        _in_order(rows, "phrases"), of="phrases", by="share", group="granularity", titles=titles, description=described
    )


def _regions(rows: Sequence[Row]) -> alt.TopLevelMixin | None:
    titles = {
        "regions": "regions of a phrase",
        "share": "share of phrases",
        "granularity": "granularity",
        "phrases": "phrases",
    }
    described = "Distribution of the number of regions that a phrase names, by granularity"
    return columns(
        _in_order(rows, "regions"), of="regions", by="share", group="granularity", titles=titles, description=described
    )


def _in_order(rows: Sequence[Row], of: str) -> list[Row]:
    """The rows in the order of the axis. It is stable, so granularities stay in the order of the query."""
    return sorted(rows, key=lambda row: row[of])


def _mentioned(rows: Sequence[Row]) -> alt.TopLevelMixin | None:
    labels = [row for row in rows if row["producer"] == "all"]
    titles = {"label": "label", "share": "share mentioned", "regions": "kept regions", "mentioned": "mentioned"}
    described = "Share of the kept regions of each label that a text mentions, commonest labels first"
    rows = first_of_each(labels, "label", _LABELS)
    return bars(rows, of="label", by="share", titles=titles, description=described)


def _nouns(rows: Sequence[Row]) -> alt.TopLevelMixin | None:
    titles = {"noun": "noun", "without_region": "times without a region", "said": "times in kept texts"}
    described = "Nouns that are most often not grounded in a region"
    rows = first_of_each(rows, "noun", _LABELS)
    return bars(rows, of="noun", by="without_region", titles=titles, description=described)


_TEXTS = (
    Figure(
        query="grounding_coverage",
        title="Grounded nouns and noun chunks",
        reading="A noun chunk is grounded if it is in a kept phrase that names a kept region. A low share means that "
        "captions name things that no detector found, or that the grounder does not match words with labels.",
        chart=_coverage,
        key=("granularity", "producer"),
        columns={
            "granularity": "Granularity",
            "producer": "Texts by",
            "texts": "Texts",
            "share_without_phrase": "Texts without a phrase",
            "phrases": "Phrases",
            "phrases_each": "Phrases of a text",
            "regions_each": "Regions of a phrase",
            "chunks": "Noun chunks",
            "grounded_chunks": "Noun chunks grounded",
            "nouns": "Nouns",
            "grounded_nouns": "Nouns grounded",
        },
        shares=frozenset(("share_without_phrase", "grounded_chunks", "grounded_nouns")),
        empty="There are no kept texts: run a captioner, then filter.",
    ),
    Figure(
        query="phrases_per_text",
        title="Phrases of a text",
        reading="0: texts that no phrase links to a region. FLD-5B links 4.27 regions to a brief text, 10.25 to a "
        "detailed one and 10.17 to a more detailed one.",
        chart=_phrases,
        key=("granularity", "phrases"),
        columns={"granularity": "Granularity", "phrases": "Phrases", "texts": "Texts", "share": "Share"},
        shares=_SHARE,
        table=False,
        empty="There are no kept texts: run a captioner, then filter.",
    ),
    Figure(
        query="regions_per_phrase",
        title="Regions of a phrase",
        reading="Many phrases with many regions mean that a grounder gives a phrase all regions of a label.",
        chart=_regions,
        key=("granularity", "regions"),
        columns={"granularity": "Granularity", "regions": "Regions", "phrases": "Phrases", "share": "Share"},
        shares=_SHARE,
        table=False,
        empty=_NO_PHRASES,
    ),
    Figure(
        query="nouns_without_region",
        title="Nouns without a region",
        reading="Nouns of kept texts that no kept region grounds: what detectors do not know or did not find.",
        chart=_nouns,
        key=("noun",),
        columns={
            "noun": "Noun",
            "without_region": "Without a region",
            "said": "In kept texts",
            "example": "Example",
            "example_image": "Image",
        },
        table=False,
        empty="Every noun of the kept texts is grounded, or no text has a parse (spacy_parse).",
    ),
)
_REGIONS = (
    Figure(
        query="regions_mentioned",
        title="Regions that a text mentions",
        reading="By kind and producer, then by label. Labels with a low share are found by detectors, but captions do "
        "not name them, or call them by another word.",
        chart=_mentioned,
        key=("kind", "producer", "label"),
        columns={
            "kind": "Kind",
            "producer": "Producer",
            "label": "Label",
            "regions": "Kept regions",
            "mentioned": "Mentioned",
            "share": "Share",
        },
        shares=_SHARE,
        table=False,
        empty="There are no kept regions: run annotate with a component that gives boxes, then filter.",
    ),
    Figure(
        query="regions_without_text",
        title="Regions without a text",
        reading="Kept object regions that no kept text mentions, by label.",
        key=("label",),
        columns={
            "label": "Label",
            "without_text": "Without a text",
            "kept": "Kept regions",
            "share": "Share",
            "example_image": "Image",
        },
        shares=_SHARE,
        table=False,
        empty="A text mentions every kept object region, or there are none.",
    ),
)

SECTION = Section(
    "grounding",
    "Grounding",
    "How far texts and regions are linked by phrases: what a text names without a region, and what has a region but no "
    "text. Only kept phrases that name a kept region count.",
    (*_TEXTS, *_REGIONS),
)
