"""The regions of the gallery's images, with the masks and the printed words of each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from engine.errors import EngineError
from engine.reading.sql import run_own
from pipelines.gallery.outline import svg_path
from pipelines.gallery.record import Bounds, ImageRecord, RegionRecord
from pipelines.gallery.rows import Row, cut, judged, number, quoted_ids

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_COLUMNS = """annotation_id, kind, label, x1, y1, x2, y2, quad, score, score_kind, producer, round, merged_into,
    support, parents, kept, rule, "value", threshold"""
# 0: kept or not judged yet, 1: dropped, 2: candidates that were merged into another region
_CLASS = "CASE WHEN merged_into <> '' THEN 2 WHEN kept IS false THEN 1 ELSE 0 END"
_IDS = 30  # the most ids of supporters and of parents

_Names = tuple[str, str]  # image id, region id


def add_regions(con: DuckDBPyConnection, records: Mapping[str, ImageRecord], bounds: Bounds) -> None:
    """Fills `regions` of the records: kept ones, then dropped ones, then merged ones. Those without a score are first.

    Kept regions have half of the room, dropped and merged ones a quarter each.
    """
    masks, words = _masks(con, records), _words(con, records)
    for row in _rows(con, records, bounds.regions):
        record, names = records[row["image_id"]], (row["image_id"], row["annotation_id"])
        characters = bounds.characters // 10
        path = _path(masks.get(names, ""), record, bounds)
        record["regions"].append(_region(row, path, cut(words.get(names), characters), characters))
        record["left_out"]["regions"] = row["total"] - len(record["regions"])
    for record in records.values():
        if record["left_out"].get("regions") == 0:
            del record["left_out"]["regions"]


def _rows(con: DuckDBPyConnection, records: Mapping[str, ImageRecord], most: int) -> list[Row]:
    rows: list[Row] = run_own(
        con,
        f"""SELECT image_id, {_COLUMNS}, total FROM (
            SELECT *, count(*) OVER (PARTITION BY image_id) AS total,
                   row_number() OVER (PARTITION BY image_id, class
                                      ORDER BY score DESC NULLS FIRST, annotation_id) AS nth
            FROM (SELECT *, {_CLASS} AS class FROM regions WHERE image_id IN ({quoted_ids(records)})))
        WHERE nth <= {most} // CASE WHEN class = 0 THEN 2 ELSE 4 END
        ORDER BY image_id, class, nth""",
    ).to_pylist()
    return rows


def _region(row: Row, mask: str, words: str, characters: int) -> RegionRecord:
    return {
        "id": row["annotation_id"],
        "kind": row["kind"],
        "label": cut(row["label"], characters),
        "words": words,
        "box": [number(row[edge], 1) or 0.0 for edge in ("x1", "y1", "x2", "y2")],
        "quad": [number(value, 1) or 0.0 for value in row["quad"]] if len(row["quad"] or ()) == 8 else [],
        "mask": mask,
        "score": number(row["score"]),
        "score_kind": row["score_kind"] or "",
        "producer": row["producer"],
        "round": row["round"],
        "merged_into": row["merged_into"] or "",
        "support": list(row["support"] or ())[:_IDS],
        "parents": list(row["parents"] or ())[:_IDS],
        **judged(row),
    }


def _masks(con: DuckDBPyConnection, records: Mapping[str, ImageRecord]) -> dict[_Names, str]:
    """{region: its mask}. As in a release, a region without its own mask has the first one that was merged into it."""
    rows = run_own(
        con,
        f"""SELECT image_id, coalesce(nullif(merged_into, ''), annotation_id) AS region, rle
            FROM regions WHERE rle <> '' AND image_id IN ({quoted_ids(records)})
            ORDER BY image_id, (merged_into <> ''), round DESC, annotation_id""",
    ).to_pylist()
    found: dict[_Names, str] = {}
    for row in rows:
        found.setdefault((row["image_id"], row["region"]), row["rle"])
    return found


def _words(con: DuckDBPyConnection, records: Mapping[str, ImageRecord]) -> dict[_Names, str]:
    """{region: the words printed in it}."""
    rows = run_own(
        con,
        f"""SELECT image_id, region_id, text FROM region_texts
            WHERE granularity = 'ocr' AND image_id IN ({quoted_ids(records)})
            ORDER BY image_id, region_id, (kept IS false), score DESC NULLS FIRST, annotation_id""",
    ).to_pylist()
    found: dict[_Names, str] = {}
    for row in rows:
        found.setdefault((row["image_id"], row["region_id"]), row["text"])
    return found


def _path(rle: str, record: ImageRecord, bounds: Bounds) -> str:
    """The outline of a mask. '' for one that does not fit its image: `engine check` reports it."""
    try:
        return svg_path(rle, width=record["width"], height=record["height"], longest=bounds.mask) if rle else ""
    except EngineError:
        return ""
