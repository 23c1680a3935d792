"""Charts of the section on semantics."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from pipelines.analyse.charts import bars, base, compared, line, tooltips
from pipelines.analyse.figure import Row

if TYPE_CHECKING:
    import altair as alt

_COUNTED = {"strict": "strict", "paper_like": "paper-like", "fld5b": "FLD-5B"}
_MEASURES = [
    *("tokens", "objects", "attributes", "actions", "proper nouns", "object complexity", "action complexity"),
]
_HEAD = 20  # labels or nouns drawn as bars
_NOUNS, _ATTRIBUTES = 15, 5
_PAIRS = 15  # of each role


def coverage(rows: Sequence[Row]) -> alt.TopLevelMixin | None:
    """A small chart of each measure: bars of the ways of counting, grouped by granularity."""
    import altair as alt

    if not (means := _means(rows)):
        return None
    order = list(dict.fromkeys(row["counted"] for row in means))
    titles = {"measure": "measure", "granularity": "granularity", "counted": "counted", "mean": "mean per text"}
    bar = (
        base(means, "Objects, attributes, actions and complexity of texts by granularity, beside FLD-5B")
        .mark_bar()
        .encode(
            x=alt.X(field="granularity", type="nominal", sort=None, axis=alt.Axis(title=None, labelAngle=0)),
            xOffset=alt.XOffset(field="counted", type="nominal", sort=order),
            y=alt.Y(field="mean", type="quantitative", axis=alt.Axis(title=None, tickCount=5)),
            color=alt.Color(field="counted", type="nominal", sort=order, title="counted"),
            tooltip=tooltips(titles, means),
        )
        .properties(width=230, height=130)
    )
    measures = alt.Facet(field="measure", type="nominal", title=None, sort=_MEASURES)
    drawn: alt.FacetChart = bar.facet(facet=measures, columns=3).resolve_scale(y="independent")
    return drawn


def _means(rows: Sequence[Row]) -> list[Row]:
    """One row for each bar. What is published is the same beside each data set, so it has one bar."""
    both = compared(rows)
    found: dict[tuple[str, str, str], Row] = {}
    for column, title in _COUNTED.items():
        for row in rows:
            if row[column] is not None and row["measure"] != "image annotations":
                counted = f"{row['set']}, {title}" if both and column != "fld5b" else title
                same = {"granularity": row["granularity"], "measure": row["measure"], "counted": counted}
                found.setdefault(tuple(same.values()), {"set": "", **same, "mean": row[column]})
    return list(found.values())


def token_counts(rows: Sequence[Row]) -> alt.TopLevelMixin | None:
    """A histogram of each granularity, with the mean of the texts and that of FLD-5B as lines."""
    import altair as alt

    if not rows:
        return None
    width = {row["granularity"]: row["tokens_to"] - row["tokens_from"] for row in rows if row["tokens_to"]}
    drawn = [{**row, "to": row["tokens_from"] + width.get(row["granularity"], 8)} for row in rows]
    titles = {"granularity": "granularity", "tokens_from": "tokens, from", "tokens_to": "to", "texts": "texts"}
    chart = base(drawn, "Distribution of tokens per text by granularity", height=130).properties(width=270)
    bar = chart.mark_bar(opacity=0.7).encode(
        x=alt.X(field="tokens_from", type="quantitative", bin="binned", title="tokens"),
        x2=alt.X2(field="to"),
        y=alt.Y(field="share", type="quantitative", stack=None, title="share of texts", axis=alt.Axis(format="%")),
        tooltip=tooltips({**titles, "share": "share"}, drawn),
    )
    if compared(rows):
        bar = bar.encode(color=alt.Color(field="set", type="nominal", title="data set"))
    means = {"mean_tokens": "mean", "fld5b_tokens": "FLD-5B: mean"}
    rules = [
        chart.mark_rule(strokeDash=dash, strokeWidth=2).encode(
            x=alt.X(field=name, type="quantitative", aggregate="mean"),
            tooltip=[alt.Tooltip(field=name, type="quantitative", aggregate="mean", title=title)],
            detail=alt.Detail(field="set", type="nominal"),
        )
        for (name, title), dash in zip(means.items(), ([1, 0], [5, 4]), strict=True)
    ]
    facet = alt.Facet(field="granularity", type="nominal", title=None, sort=None)
    faceted = alt.layer(bar, *rules).facet(facet=facet, columns=3)
    small: alt.FacetChart = faceted.resolve_scale(x="independent", y="independent")
    return small


def labels(rows: Sequence[Row]) -> alt.TopLevelMixin | None:
    return _head(rows, "label", "regions", {"images": "images"}, "The commonest labels of kept regions")


def nouns(rows: Sequence[Row]) -> alt.TopLevelMixin | None:
    return _head(rows, "noun", "times", {}, "The commonest nouns of kept texts")


def label_tail(rows: Sequence[Row]) -> alt.TopLevelMixin | None:
    return _tail(rows, "label", "regions", "Regions of a label by the rank of the label")


def noun_tail(rows: Sequence[Row]) -> alt.TopLevelMixin | None:
    return _tail(rows, "noun", "times", "Occurrences of a noun by the rank of the noun")


def _head(rows: Sequence[Row], of: str, by: str, more: Mapping[str, str], description: str) -> alt.TopLevelMixin | None:
    titles = {of: of, by: by, "rank": "rank", **more}
    return bars([row for row in rows if row["rank"] <= _HEAD], of=of, by=by, titles=titles, description=description)


def _tail(rows: Sequence[Row], of: str, by: str, description: str) -> alt.TopLevelMixin | None:
    titles = {"rank": "rank", by: by, of: of}
    return line(rows, x="rank", y=by, titles=titles, description=description, log=True) if len(rows) > 1 else None


def attributes(rows: Sequence[Row]) -> alt.TopLevelMixin | None:
    """The commonest attributes of each noun as words, on a background that is darker the more often it has them."""
    import altair as alt

    drawn = _placed(rows)
    if not drawn:
        return None
    names = list(dict.fromkeys(row["name"] for row in drawn))
    titles = {"noun": "noun", "attribute": "attribute", "times": "times", "phrases": "phrases with the noun"}
    chart = base(drawn, "The commonest attributes of the commonest nouns", height=24 * len(names)).encode(
        x=alt.X(field="place", type="ordinal", title="from the commonest attribute", axis=alt.Axis(labelAngle=0)),
        y=alt.Y(field="name", type="nominal", sort=names, title="noun"),
        tooltip=tooltips({**titles, "share": "share of them"}, drawn),
    )
    scale = alt.Scale(domain=[0, max(row["share"] for row in drawn)], range=[0.05, 0.5])
    back = chart.mark_rect().encode(opacity=alt.Opacity(field="share", type="quantitative", scale=scale, legend=None))
    return alt.layer(back, chart.mark_text().encode(text=alt.Text(field="attribute", type="nominal")))


def _placed(rows: Sequence[Row]) -> list[Row]:
    """The rows that are drawn. `place`: counts the attributes of a noun. `name`: the noun, with its data set if two."""
    both, places = compared(rows), Counter[tuple[str, str]]()
    drawn: list[Row] = []
    for row in rows:
        key = (row["set"], row["noun"])
        places[key] += 1
        few = places[key] <= _ATTRIBUTES and len({noun for of, noun in places if of == row["set"]}) <= _NOUNS
        if few and row["attribute"] is not None:
            name = f"{row['noun']} ({row['set']})" if both else row["noun"]
            drawn.append({**row, "place": places[key], "name": name})
    return sorted(drawn, key=lambda row: (str(row["noun"]), str(row["set"]))) if both else drawn


def verb_noun_pairs(rows: Sequence[Row]) -> alt.TopLevelMixin | None:
    """Bars of the commonest pairs of each role, written as in a sentence: the subject before its verb."""
    import altair as alt

    named: list[Row] = []
    seen = Counter[tuple[str, str]]()
    for row in rows:
        seen[row["set"], row["role"]] += 1
        if seen[row["set"], row["role"]] <= _PAIRS:
            words = (row["noun"], row["verb"]) if row["role"] == "subject" else (row["verb"], row["noun"])
            named.append({**row, "pair": " ".join(words), "role": f"{row['role']} of the verb"})
    titles = {"pair": "pair", "times": "times", "role": "the noun is the", "verb": "verb", "noun": "noun"}
    chart = bars(named, of="pair", by="times", titles=titles, description="The commonest pairs of verbs and nouns")
    if chart is None or compared(rows):
        return chart
    return chart.encode(color=alt.Color(field="role", type="nominal", title="the noun is the", sort=None))
