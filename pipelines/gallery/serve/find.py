"""The SQL that finds the images of a choice, in the tables of index.py and the views of the data set."""

from __future__ import annotations

from engine.reading.dataset import Dataset
from engine.reading.raw_views import given, quoted
from pipelines.gallery.condition import ranked_by_condition
from pipelines.gallery.serve.choice import Choice
from pipelines.gallery.serve.index import Index, Names

_HEX = frozenset("0123456789abcdef")


def finding(choice: Choice, index: Index, dataset: Dataset) -> str:
    """A SELECT of the numbers `n` of the images. Images at equal places are in the order in which they were listed."""
    before, joins, order = "", "", []
    if choice.seed is not None:
        order.append(f"md5(i.image_id || '{choice.seed}')")
    if choice.stratum:
        joins += f" JOIN explore.strata s ON s.n = i.n AND {_is('s.stratum', choice.stratum, index.strata)}"
        order.append("s.place")
    if choice.where.strip():
        before = f"WITH w AS ({ranked_by_condition(choice.where)}) "  # a subquery could use columns of i
        joins += " JOIN w ON w.image_id = i.image_id"
        order.append("w.rank")
    conditions = [_verdict(choice), _annotation(choice, index), _text(choice.text.strip().lower(), index, dataset)]
    where = " AND ".join(filter(None, conditions)) or "true"
    return f"{before}SELECT i.n FROM explore.images i{joins} WHERE {where} ORDER BY {', '.join([*order, 'i.n'])}"


def _is(column: str, name: str, names: Names) -> str:
    """The condition that a column has the number of this name. No row has the name of which there is no number."""
    return f"{column} = {names.numbers.get(name, -1)}"


def _verdict(choice: Choice) -> str:
    return {"image-kept": "i.kept IS NOT false", "image-dropped": "i.kept = false"}.get(choice.kept, "")


def _annotation(choice: Choice, index: Index) -> str:
    """The condition that one annotation fits. A rule may also have dropped the image itself."""
    asked = [
        _is(f"f.{column}", name, names)
        for column, name, names in (
            ("label", choice.label, index.labels),
            ("rule", choice.rule, index.rules),
            ("producer", choice.producer, index.producers),
        )
        if name
    ]
    asked += [{"kept": "f.kept", "dropped": "f.kept = false"}.get(choice.kept, "")]
    if not (conditions := [one for one in asked if one]):
        return ""
    found = f"i.n IN (SELECT f.n FROM explore.facts f WHERE {' AND '.join(conditions)})"
    if choice.rule and not choice.label and not choice.producer and choice.kept != "kept":
        return f"({found} OR {_is('i.rule', choice.rule, index.rules)})"
    return found


def _text(words: str, index: Index, dataset: Dataset) -> str:
    """The condition that these words, in lower case, are in a text, a label, a file name or the image id."""
    if not words:
        return ""
    literal = quoted(words)
    rows = [
        f"SELECT image_id FROM ({given(dataset, column)}) WHERE contains(lower(text), {literal})"
        for column in ("texts", "region_texts")
    ]
    rows.append(
        f"""SELECT image_id FROM raw.images
            WHERE contains(lower(uri), {literal})
               OR len(list_filter(sources, lambda s: contains(lower(s.uri), {literal}))) > 0"""
    )
    if set(words) <= _HEX:
        rows.append(f"SELECT image_id FROM explore.images WHERE starts_with(image_id, {literal})")
    found = f"i.image_id IN ({' UNION ALL '.join(rows)})"
    labels = [str(number) for label, number in index.labels.numbers.items() if words in label.lower()]
    if labels:
        found += f" OR i.n IN (SELECT n FROM explore.facts WHERE label IN ({', '.join(labels)}))"
    return f"({found})"
