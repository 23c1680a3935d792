"""Rows of the views for some images, and their values as JSON has them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from engine.reading.sql import run_own
from pipelines.gallery.record import Judged

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

Row = Mapping[str, Any]  # of a view
BEST_FIRST = "(kept IS false), score DESC NULLS FIRST, annotation_id"


def first_rows(
    con: DuckDBPyConnection, columns: str, view: str, ids: Iterable[str], order: str, most: int
) -> list[Row]:
    """For each image, the first `most` rows of a view in this order, and in `total` how many there are."""
    rows: list[Row] = run_own(
        con,
        f"""SELECT image_id, {columns}, total FROM (
            SELECT *, count(*) OVER (PARTITION BY image_id) AS total,
                   row_number() OVER (PARTITION BY image_id ORDER BY {order}) AS nth
            FROM {view} WHERE image_id IN ({quoted_ids(ids)}))
        WHERE nth <= {most} ORDER BY image_id, nth""",
    ).to_pylist()
    return rows


def quoted_ids(ids: Iterable[str]) -> str:
    """The image ids as a list for SQL. Those that are not hexadecimal are left out: no image has them."""
    return ", ".join(f"'{name}'" for name in ids if name and set(name) <= set("0123456789abcdef")) or "''"


def number(value: float | None, digits: int = 4) -> float | None:
    """The number, rounded. None if it is not finite, because JSON has no word for that."""
    if value is None or not math.isfinite(value):
        return None
    return round(float(value), digits)


def judged(row: Row, value: str = "value") -> Judged:
    """The verdict in a row. `value`: the name of its column with the value."""
    return {
        "kept": row["kept"],
        "rule": row["rule"] or "",
        "value": number(row[value]),
        "threshold": number(row["threshold"]),
    }


def cut(text: str | None, characters: int) -> str:
    return (text or "")[:characters]
