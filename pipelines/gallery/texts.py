"""The texts of the gallery's images, with their phrases and the regions that these name.

Texts are cut to their first characters. Phrases that begin after the cut are left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from engine.reading.sql import run_own
from pipelines.gallery.record import Bounds, ImageRecord, PhraseRecord, TextRecord
from pipelines.gallery.rows import BEST_FIRST, Row, first_rows, judged, number, quoted_ids

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_VERDICT = 'kept, rule, "value", threshold'
_GRANULARITY = "array_position(['brief', 'detailed', 'more_detailed'], granularity)"


def add_texts(con: DuckDBPyConnection, records: Mapping[str, ImageRecord], bounds: Bounds) -> None:
    """Fills `texts` of the records. Kept texts come first, the brief ones before the detailed ones."""
    columns = f"""annotation_id, granularity, left(text, {bounds.characters}) AS text, length(text) AS length,
        producer, round, score, {_VERDICT}"""
    order = f"(kept IS false), {_GRANULARITY}, {BEST_FIRST}"
    shown: dict[tuple[str, str], TextRecord] = {}
    for row in first_rows(con, columns, "texts", records, order, bounds.texts):
        record = records[row["image_id"]]
        text = shown[row["image_id"], row["annotation_id"]] = _text(row)
        record["texts"].append(text)
        if row["total"] > bounds.texts:
            record["left_out"]["texts"] = row["total"] - bounds.texts
    _add_phrases(con, records, shown, bounds)


def _text(row: Row) -> TextRecord:
    return {
        "id": row["annotation_id"],
        "granularity": row["granularity"],
        "text": row["text"] or "",
        "length": row["length"] or 0,
        "producer": row["producer"],
        "round": row["round"],
        "score": number(row["score"]),
        **judged(row),
        "phrases": [],
    }


def _add_phrases(
    con: DuckDBPyConnection,
    records: Mapping[str, ImageRecord],
    texts: Mapping[tuple[str, str], TextRecord],
    bounds: Bounds,
) -> None:
    columns = f"annotation_id, text_id, char_start, char_end, region_ids, score, producer, {_VERDICT}"
    rows = first_rows(con, columns, "phrases", records, BEST_FIRST, bounds.phrases)
    merged = _merged(con, [row["image_id"] for row in rows if row["region_ids"]])
    for row in rows:
        text = texts.get((row["image_id"], row["text_id"]))
        start, end = row["char_start"], min(row["char_end"], len(text["text"]) if text else 0)
        if text and start < end:
            text["phrases"].append(_phrase(row, end, merged))
        if row["total"] > bounds.phrases:
            records[row["image_id"]]["left_out"]["phrases"] = row["total"] - bounds.phrases
    for text in texts.values():
        text["phrases"].sort(key=lambda phrase: (phrase["start"], phrase["end"], phrase["id"]))


def _phrase(row: Row, end: int, merged: Mapping[tuple[str, str], str]) -> PhraseRecord:
    regions = [_last(row["image_id"], region, merged) for region in row["region_ids"] or ()]
    return {
        "id": row["annotation_id"],
        "start": row["char_start"],
        "end": end,
        "regions": list(dict.fromkeys(regions)),
        "score": number(row["score"]),
        "producer": row["producer"],
        **judged(row),
    }


def _last(image_id: str, region: str, merged: Mapping[tuple[str, str], str]) -> str:
    """The region that replaced this one in the end. Stops if merges form a circle."""
    seen = {region}
    while (following := merged.get((image_id, region))) and following not in seen:
        seen.add(following)
        region = following
    return region


def _merged(con: DuckDBPyConnection, ids: Sequence[str]) -> dict[tuple[str, str], str]:
    """{(image id, merged region): the region that replaced it}."""
    rows = run_own(
        con,
        f"""SELECT image_id, annotation_id, merged_into FROM regions
            WHERE merged_into <> '' AND image_id IN ({quoted_ids(dict.fromkeys(ids))})""",
    ).to_pylist()
    return {(row["image_id"], row["annotation_id"]): row["merged_into"] for row in rows}
