"""Where producers of boxes agree with each other and with people: partners, confused labels, reliable scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipelines.analyse.charts import bars, base, compared, field, first_of_each, heat, tooltips
from pipelines.analyse.figure import Figure, Row, Section

if TYPE_CHECKING:
    import altair as alt

_BANDS = {
    "from_50": "IoU 0.5 to 0.6",
    "from_60": "0.6 to 0.7",
    "from_70": "0.7 to 0.8",
    "from_80": "0.8 to 0.9",
    "from_90": "0.9 to 1",
}
_PAIRS = 12  # pairs of producers in a chart
_CONFUSIONS = 20
_CURVES = 8  # calibration curves in a chart
_ONE_PRODUCER = (
    "No two producers gave boxes in the same image: this needs two detectors, or a detector and human labels. A "
    "release holds only kept boxes, so read the data set instead."
)
_NO_TRUTH = (
    "There are no human boxes to compare with: add a source with human labels (coco, for example) or ingest.audit."
)


def _fits(rows: Sequence[Row]) -> alt.TopLevelMixin | None:
    """For each pair of producers, bars of its partners by IoU."""
    pairs = [{**row, "pair": f"{row['producer_a']} and {row['producer_b']} ({row['kind']})"} for row in rows]
    long: list[Row] = [
        {**row, "band": band, "number": row[column], "order": order}
        for row in first_of_each(pairs, "pair", _PAIRS)
        if row["partners"]
        for order, (column, band) in enumerate(_BANDS.items())
    ]
    return _stacked(long)


def _stacked(rows: Sequence[Row]) -> alt.TopLevelMixin | None:
    import altair as alt

    if not rows:
        return None
    names = list(dict.fromkeys(row["pair"] for row in rows))
    titles = {"pair": "producers", "band": "IoU", "number": "partners", "mean_iou": "mean IoU"}
    described = "Partners of each pair of producers by their IoU, as shares"
    chart: alt.Chart = (
        base(rows, described, height=max(60, 30 * len(names)))
        .mark_bar()
        .encode(
            x=alt.X(**field("number", "quantitative", "share of partners"), stack="normalize"),
            y=alt.Y(**field("pair", "nominal", "producers"), sort=names, axis=alt.Axis(labelLimit=260)),
            color=alt.Color(
                **field("band", "ordinal", "IoU"),
                sort=list(_BANDS.values()),
                scale=alt.Scale(scheme="viridis"),
            ),
            order=alt.Order(field="order", type="quantitative"),
            tooltip=tooltips(titles, rows),
        )
    )
    if compared(rows):
        chart = chart.encode(yOffset=alt.YOffset(field="set", type="nominal"))
    return chart


def _confused(rows: Sequence[Row]) -> alt.TopLevelMixin | None:
    """The first confusions of the table: bars of their boxes, coloured by share."""
    import altair as alt

    long: list[Row] = [
        {
            **row,
            "labels": f"{row['producer_a']}: {row['label_a']} / {row['producer_b']}: {row['label_b']}",
            "share": max(row["share_a"], row["share_b"]),
        }
        for row in rows
    ]
    titles = {"labels": "labels", "number": "boxes", "share": "larger share", "of_a": "of", "of_b": "and of"}
    described = (
        "The labels that two producers give to the same objects, where these differ, with their number and share"
    )
    long = first_of_each(long, "labels", _CONFUSIONS)
    chart = bars(long, of="labels", by="number", titles=titles, description=described)
    if isinstance(chart, alt.Chart) and not compared(long):  # colours show the data set
        scale = alt.Scale(domain=[0, 1])
        chart = chart.encode(color=alt.Color(**field("share", "quantitative", "larger share"), scale=scale))
    return chart


def _matrix(rows: Sequence[Row]) -> alt.TopLevelMixin | None:
    titles = {"label_b": "the other's label", "label_a": "label", "share": "share of the row", "number": "boxes"}
    return heat(
        rows,
        x="label_b",
        y="label_a",
        value="share",
        titles=titles,
        description="Matrix of the labels that are confused most: which label the other producer gives",
        values=sorted({row[name] for row in rows for name in ("label_a", "label_b")}),
    )


def _curves(rows: Sequence[Row]) -> alt.TopLevelMixin | None:
    import altair as alt

    named: list[Row] = [{**row, "scores of": f"{row['producer']} ({row['score_kind']})"} for row in rows]
    if not (named := first_of_each(named, "scores of", _CURVES)):
        return None
    titles = {
        "scores of": "producer (kind of score)",
        "mean_score": "mean score",
        "right": "share that is right",
        "boxes": "boxes",
    }
    diagonal = (
        alt.Chart(alt.InlineData(values=[{"mean_score": end, "right": end} for end in (0, 1)]))
        .mark_line(strokeDash=[4, 4], opacity=0.6)
        .encode(x="mean_score:Q", y="right:Q")
    )
    curves = (
        base(named, "Calibration curves: share of right boxes beside the mean score", height=300)
        .mark_line(point=True)
        .encode(
            x=alt.X(**field("mean_score", "quantitative", "mean score"), scale=alt.Scale(domain=[0, 1])),
            y=alt.Y(**field("right", "quantitative", "share that is right"), scale=alt.Scale(domain=[0, 1])),
            color=alt.Color(**field("scores of", "nominal", "producer (kind of score)")),
            tooltip=tooltips(titles, named),
        )
    )
    if compared(named):
        curves = curves.encode(strokeDash=alt.StrokeDash(field="set", type="nominal"))
    return alt.layer(diagonal, curves).properties(width="container", height=300)


_AGREEMENT = Figure(
    query="producer_agreement",
    title="Boxes with a partner",
    reading="Two boxes of two producers are partners if their IoU is 0.5 or more. A detector that few others confirm "
    "finds what they miss, or is wrong; a low mean IoU means loose boxes or another coordinate frame.",
    chart=_fits,
    key=("kind", "producer_a", "producer_b"),
    columns={
        "kind": "Kind",
        "producer_a": "A",
        "producer_b": "B",
        "images": "Images",
        "boxes_a": "Boxes of A",
        "boxes_b": "Boxes of B",
        "partners": "Partners",
        "share_a": "Share of A",
        "share_b": "Share of B",
        "mean_iou": "Mean IoU",
        "same_label": "Same label",
        **_BANDS,
    },
    shares=frozenset(("share_a", "share_b", "same_label")),
    empty=_ONE_PRODUCER,
)
_CONFUSION = Figure(
    query="label_confusion",
    title="Confused labels",
    reading="Partners with different labels. A share near 100 % with many boxes is a class that one of the two names "
    "wrongly throughout, such as two classes swapped in an import. Lower shares are classes that look alike.",
    chart=_confused,
    key=("producer_a", "label_a", "producer_b", "label_b"),
    columns={
        "producer_a": "A",
        "label_a": "A's label",
        "producer_b": "B",
        "label_b": "B's label",
        "number": "Boxes",
        "of_a": "Of A's label",
        "share_a": "Share",
        "of_b": "Of B's label",
        "share_b": "Share",
        "mean_iou": "Mean IoU",
    },
    shares=frozenset(("share_a", "share_b")),
    empty="No two producers gave different labels to the same object, or only one gave boxes.",
)
_MATRIX = Figure(
    query="label_matrix",
    title="Matrix of confused labels",
    reading="Rows are the label of truth, people or the first producer, columns that of the other. High shares should "
    "be on the diagonal.",
    chart=_matrix,
    key=("label_a", "label_b"),
    columns={
        "label_a": "Label",
        "label_b": "The other's label",
        "number": "Boxes",
        "of_a": "Of the label",
        "share": "Share",
    },
    shares=frozenset(("share",)),
    table=False,
    empty="No two producers gave different labels to the same object, or only one gave boxes.",
)
_CALIBRATION = Figure(
    query="calibration",
    title="Calibration of scores",
    reading="Boxes compared with human boxes. On the dashed line, a score of 0.7 means that 70 % are right. Below it, "
    "scores are too high. The error is the mean distance from the line (ECE); engine eval --fit corrects it.",
    chart=_curves,
    key=("producer", "score_kind", "score_from"),
    columns={
        "producer": "Producer",
        "score_kind": "Kind of score",
        "compared_with": "Compared with",
        "score_from": "Score from",
        "score_to": "to",
        "boxes": "Boxes",
        "mean_score": "Mean score",
        "right": "Right",
        "error": "Calibration error",
    },
    shares=frozenset(("right",)),
    empty=_NO_TRUTH,
)

SECTION = Section(
    "agreement",
    "Agreement of producers",
    "How far detectors and people agree on boxes and labels, and how far scores can be trusted. Boxes count before "
    "rules and merges, so this also shows what the rules later hide.",
    (_AGREEMENT, _CONFUSION, _MATRIX, _CALIBRATION),
)
