"""Reads what the gallery shows of some images, with one query for each view for all images together.

Pictures are not part of it: `src` is left empty.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from engine.reading.sql import run_own
from engine.storage.uris import short_name
from pipelines.gallery.record import (
    Bounds,
    ChangeRecord,
    FailureRecord,
    ImageRecord,
    RegionTextRecord,
    ScoreRecord,
    SourceRecord,
    TagRecord,
)
from pipelines.gallery.regions import add_regions
from pipelines.gallery.rows import BEST_FIRST, Row, cut, first_rows, judged, number, quoted_ids
from pipelines.gallery.texts import add_texts

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_ERROR = 600  # characters of an error's sentence


def image_rows(con: DuckDBPyConnection, ids: Sequence[str]) -> list[Row]:
    """The rows of the view `images`, in the order of `ids`. Unknown ids are left out."""
    found = run_own(con, f"SELECT * FROM images WHERE image_id IN ({quoted_ids(ids)})").to_pylist()
    by_id = {row["image_id"]: row for row in found}
    return [by_id[name] for name in dict.fromkeys(ids) if name in by_id]


def image_records(
    con: DuckDBPyConnection,
    rows: Sequence[Row],
    *,
    strata: Mapping[str, Sequence[str]] | None = None,
    bounds: Bounds | None = None,
) -> list[ImageRecord]:
    """The records of images, given their rows of `image_rows`. `strata`: {image id: why it was chosen}."""
    bounds = bounds or Bounds()
    records = {row["image_id"]: _image(row, (strata or {}).get(row["image_id"], ()), bounds) for row in rows}
    if records:
        add_regions(con, records, bounds)
        add_texts(con, records, bounds)
        for part in _OTHERS:
            _add(con, records, part, bounds)
    return list(records.values())


def _image(row: Row, strata: Sequence[str], bounds: Bounds) -> ImageRecord:
    sources: list[SourceRecord] = [
        {"source": source["source"], "uri": source["uri"]} for source in row["sources"][: bounds.others]
    ]
    return {
        "id": row["image_id"],
        "name": short_name(sources[0]["uri"] if sources else row["uri"] or ""),  # an image may be in a tar
        "width": row["width"],
        "height": row["height"],
        "src": "",
        "unreadable": "",
        "split": row["split"] or "",
        **judged(row),
        "licence": row["licence"] or "",
        "sources": sources,
        "strata": list(strata),
        "regions": [],
        "texts": [],
        "region_texts": [],
        "tags": [],
        "scores": [],
        "failures": [],
        "changes": [],
        "left_out": {"sources": more} if (more := len(row["sources"]) - len(sources)) else {},
    }


# --- what an image has beside regions and texts -------------------------------------------------


def _region_text(row: Row, bounds: Bounds) -> RegionTextRecord:
    return {
        "id": row["annotation_id"],
        "region": row["region_id"],
        "granularity": row["granularity"],
        "text": cut(row["text"], bounds.characters // 10),
        "producer": row["producer"],
        "round": row["round"],
        **judged(row),
    }


def _tag(row: Row, bounds: Bounds) -> TagRecord:
    return {
        "id": row["annotation_id"],
        "label": cut(row["label"], bounds.characters // 10),
        "score": number(row["score"]),
        "producer": row["producer"],
        **judged(row),
    }


def _score(row: Row, bounds: Bounds) -> ScoreRecord:
    code = cut(row["code"], bounds.characters // 10)
    return {"name": row["name"], "value": number(row["value"]), "code": code, "producer": row["producer"]}


def _failure(row: Row, bounds: Bounds) -> FailureRecord:
    component, reason = row["component"], row["reason"]
    return {"node": row["node"], "component": component, "reason": reason, "error": cut(row["error"], _ERROR)}


def _change(row: Row, bounds: Bounds) -> ChangeRecord:
    return {
        "round": row["round"],
        "rule": row["rule"],
        "old": row["old"] or "",
        "new": row["new"] or "",
        "old_label": cut(row["old_label"], bounds.characters // 10),
        "new_label": cut(row["new_label"], bounds.characters // 10),
        "value": number(row["value"]),
        "threshold": number(row["threshold"]),
    }


_Part = tuple[str, str, str, str, Callable[[Row, Bounds], Any]]  # field of the record, view, columns, order, function
_VERDICT = 'kept, rule, "value", threshold'
_OTHERS: Sequence[_Part] = (
    (
        "region_texts",
        "region_texts",
        f"annotation_id, region_id, granularity, text, producer, round, {_VERDICT}",
        BEST_FIRST,
        _region_text,
    ),
    ("tags", "tags", f"annotation_id, label, score, producer, {_VERDICT}", BEST_FIRST, _tag),
    ("scores", "image_scores", 'name, "value", code, producer', "name, producer, annotation_id", _score),
    (
        "failures",
        "failures",
        "node, component, reason, error",
        "(reason = 'skipped'), node, component, reason, error",
        _failure,
    ),
    (
        "changes",
        "changes",
        'round, rule, old, "new", old_label, new_label, "value", threshold',
        'round, rule, old, "new"',
        _change,
    ),
)


def _add(con: DuckDBPyConnection, records: Mapping[str, ImageRecord], part: _Part, bounds: Bounds) -> None:
    """Fills one field of the records."""
    field, view, columns, order, made = part
    for row in first_rows(con, columns, view, records, order, bounds.others):
        record = records[row["image_id"]]
        record[field].append(made(row, bounds))  # type: ignore[literal-required]
        if row["total"] > bounds.others:
            record["left_out"][field] = row["total"] - bounds.others
