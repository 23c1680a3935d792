"""The sample of images that a page holds: chosen, read, and small enough together."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from engine.layout import IMAGES
from engine.reading.dataset import Dataset
from engine.reading.sql import connect, run_own
from pipelines.gallery.choose import choose
from pipelines.gallery.image_data import image_records, image_rows
from pipelines.gallery.record import SMALL, Bounds, GalleryRecord, ImageRecord
from pipelines.gallery.rows import quoted_ids
from pipelines.gallery.thumbnails import thumbnails

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

MOST_BYTES = 6_000_000
_PICTURE = 12_000  # bytes for a picture of the size that is wanted, as a data URI


def gallery_sample(
    dataset: Dataset,
    con: DuckDBPyConnection,
    *,
    limit: int = 96,
    most_bytes: int = MOST_BYTES,
    bounds: Bounds = SMALL,
) -> GalleryRecord:
    """At most `limit` images with pictures, at most `most_bytes` together (`size_in_page`).

    If the images do not fit, the pictures become smaller, and the last images are left out. `con`: a connection to the
    views of this data set. It is used to choose the images.
    """
    strata = {one.image_id: one.strata for one in choose(con, limit=limit)}
    with connect(dataset.of_shards(_shards(dataset, con, list(strata)))) as few:
        rows = image_rows(few, list(strata))
        read = image_records(few, rows, strata=strata, bounds=bounds)
    records: list[ImageRecord] = []
    used = 0
    for record in read:
        size = size_in_page(record)
        if used + size + _PICTURE * (len(records) + 1) <= most_bytes:
            records.append(record)
            used += size
    by_id = {row["image_id"]: row for row in rows}
    shown = [by_id[record["id"]] for record in records]
    pictures = thumbnails(dataset.storage, shown, most_bytes=most_bytes - used - 200 * len(records))
    for record, picture in zip(records, pictures, strict=True):
        record["src"], record["unreadable"] = picture.data_uri, picture.unreadable[:600]
    total = run_own(con, "SELECT count(*) AS number FROM images")["number"][0].as_py()
    return {"dataset": dataset.url, "total": int(total), "images": records}


def _shards(dataset: Dataset, con: DuckDBPyConnection, ids: Sequence[str]) -> set[int]:
    """The shards that hold these images. Reading only those takes a small part of the time if there are a thousand."""
    found = run_own(con, f"SELECT DISTINCT filename FROM raw.images WHERE image_id IN ({quoted_ids(ids)})")
    names = set(found["filename"].to_pylist())
    files = dataset.files(dataset.release or IMAGES)
    return {shard for shard, path in files.items() if dataset.location(path) in names}


def compact(record: Any) -> Any:
    """The record without what is empty: gallery.js fills that in."""
    if isinstance(record, dict):
        return {key: compact(item) for key, item in record.items() if item not in (None, "", [], {})}
    return [compact(item) for item in record] if isinstance(record, list) else record


def size_in_page(record: ImageRecord) -> int:
    """The bytes of the compact record as JSON in a page, where other characters than ASCII, and <>&, are escaped."""
    text = json.dumps(compact(record), separators=(",", ":"), allow_nan=False)
    return len(text) + 5 * sum(text.count(char) for char in "<>&")
