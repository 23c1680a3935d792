"""A data set as it was when it was opened: its index, the images of each choice, their records and pictures.

It can be used from several threads. Results of choices stay in memory, up to a limit, so that turning pages is fast.
"""

from __future__ import annotations

import contextlib
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple, TypedDict

import numpy as np
import numpy.typing as npt

from engine.layout import IMAGES
from engine.reading.dataset import Dataset
from engine.reading.sql import connect, run_named, run_query
from pipelines.gallery.choose import QUERY
from pipelines.gallery.image_data import image_records, image_rows
from pipelines.gallery.record import ImageRecord
from pipelines.gallery.rows import Row
from pipelines.gallery.serve.choice import Choice, Page
from pipelines.gallery.serve.find import finding
from pipelines.gallery.serve.index import Offer, Progress, add_strata, choices, make_index, no_progress, strata
from pipelines.gallery.serve.limits import time_limit
from pipelines.gallery.serve.pictures import Picture, Pictures

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

SECONDS = 60.0  # of the query of a choice
_CHOICES = 64 * 2**20  # bytes of the results of choices, four for each image
_RECORDS = 480  # records that are kept: those of 20 pages
_READERS = 4  # connections to the shards of a page that stay open
_ROWS = 4096  # rows of images that are kept for their pictures
_SAMPLED = 50  # shards in which images worth looking at are searched


class ServedRecord(ImageRecord, total=False):
    large: str  # the URL of a larger picture


class Found(TypedDict):
    """An answer to a query of assets/source.js."""

    total: int
    images: list[ServedRecord]


class Facts(TypedDict):
    """What the page knows about the data set before it shows images: see `fetched` in assets/source.js."""

    dataset: str
    of: str
    total: int
    labels: list[Offer]
    rules: list[Offer]
    producers: list[Offer]
    strata: list[Offer]
    all_labels: int  # `labels` has at most the 1000 most frequent


class Place(NamedTuple):
    """Where an image is."""

    n: int  # in explore.images
    image_id: str
    shard: int


class Snapshot:
    def __init__(self, dataset: Dataset, on_progress: Progress = no_progress) -> None:
        self.dataset = dataset
        self._con = connect(dataset)
        self.index = make_index(self._con, dataset, on_progress)
        self._add_strata()
        self._pictures = Pictures(dataset.storage)
        self._found: OrderedDict[Choice, npt.NDArray[np.int32]] = OrderedDict()
        self._rows: OrderedDict[str, Row] = OrderedDict()
        self._records_read: OrderedDict[str, ServedRecord] = OrderedDict()
        self._readers: OrderedDict[frozenset[int], DuckDBPyConnection] = OrderedDict()
        self._in_use: list[DuckDBPyConnection] = []
        self._lock = threading.Lock()
        self._one_at_a_time = threading.Lock()  # each query uses all cores, and memory
        self.facts = self._facts()

    def page(self, page: Page) -> Found:
        """The images of a page. Raises ConfigError for a condition that is no SQL or takes too long."""
        if page.image:
            places = self._places_of_id(page.image)
            return {"total": len(places), "images": self._records(places)}
        total, numbers = self._numbers(page)
        return {"total": total, "images": self._records(self._places(numbers))}

    def picture(self, size: str, image_id: str) -> Picture | None:
        """The picture of an image, of a size in pictures.SIDES; None if there is no such image."""
        with self._lock:
            known = image_id in self._rows
        if not known and not self._places_of_id(image_id):
            return None
        return self._pictures.picture(size, image_id, lambda: self._row(image_id))

    def interrupt(self) -> None:
        """Stops the queries that are going on."""
        with self._lock:
            for cursor in self._in_use:
                cursor.interrupt()

    @contextlib.contextmanager
    def _cursor(self, con: DuckDBPyConnection | None = None) -> Iterator[DuckDBPyConnection]:
        """A cursor that `interrupt` reaches. A connection itself is for one thread at a time."""
        cursor = (con or self._con).cursor()
        with self._lock:
            self._in_use.append(cursor)
        try:
            yield cursor
        finally:
            with self._lock:
                self._in_use.remove(cursor)
            cursor.close()

    # --- which images ---------------------------------------------------------------------------

    def _numbers(self, page: Page) -> tuple[int, list[int]]:
        """(how many images fit, the numbers of those on the page)"""
        end = page.offset + page.limit
        if page.choice == Choice():
            return self.index.total, list(range(page.offset, min(end, self.index.total)))
        found = self._find(page.choice)
        return len(found), found[page.offset : end].tolist()

    def _find(self, choice: Choice) -> npt.NDArray[np.int32]:
        with self._lock:
            if choice in self._found:
                self._found.move_to_end(choice)
                return self._found[choice]
        with self._one_at_a_time, self._cursor() as cursor, time_limit(cursor, SECONDS):
            rows = run_query(cursor, finding(choice, self.index, self.dataset))
        found: npt.NDArray[np.int32] = rows["n"].to_numpy().astype(np.int32, copy=False)
        with self._lock:
            self._found[choice] = found
            while sum(one.nbytes for one in self._found.values()) > _CHOICES and len(self._found) > 1:
                self._found.popitem(last=False)
        return found

    def _places(self, numbers: Sequence[int]) -> list[Place]:
        """Where these images are, in this order."""
        listed = ", ".join(map(str, numbers)) or "-1"
        with self._cursor() as cursor:
            rows = cursor.execute(f"SELECT n, image_id, shard FROM explore.images WHERE n IN ({listed})").fetchall()
        found = {row[0]: Place(*row) for row in rows}
        return [found[number] for number in numbers if number in found]

    def _places_of_id(self, image_id: str) -> list[Place]:
        with self._cursor() as cursor:
            sql = "SELECT n, image_id, shard FROM explore.images WHERE image_id = ?"
            return [Place(*row) for row in cursor.execute(sql, [image_id]).fetchall()]

    # --- what is shown of them ------------------------------------------------------------------

    def _records(self, places: Sequence[Place]) -> list[ServedRecord]:
        """The records of these images, in this order."""
        with self._lock:
            known = {place.image_id: self._records_read.get(place.image_id) for place in places}
        missing = [place for place in places if known[place.image_id] is None]
        known |= {record["id"]: record for record in self._read_records(missing)}
        return [record for place in places if (record := known[place.image_id])]

    def _read_records(self, places: Sequence[Place]) -> list[ServedRecord]:
        """Reads records, from the shards that hold these images only."""
        if not places:
            return []
        why = self._strata_of(places)
        with self._cursor(self._reader(places)) as con:
            rows = image_rows(con, [place.image_id for place in places])
            read = image_records(con, rows, strata=why)
        self._keep_rows(rows)
        records = [_served(record) for record in read]
        with self._lock:
            self._records_read.update({record["id"]: record for record in records})
            while len(self._records_read) > _RECORDS:
                self._records_read.popitem(last=False)
        return records

    def _reader(self, places: Sequence[Place]) -> DuckDBPyConnection:
        """A connection with the views of only the shards of these images. Neighbouring pages share it."""
        shards = frozenset(place.shard for place in places)
        with self._lock:
            if shards in self._readers:
                self._readers.move_to_end(shards)
                return self._readers[shards]
        con = connect(self.dataset.of_shards(shards))
        with self._lock:
            self._readers[shards] = con
            while len(self._readers) > _READERS:
                self._readers.popitem(last=False)  # it closes when no request uses it any more
        return con

    def _strata_of(self, places: Sequence[Place]) -> dict[str, list[str]]:
        ids = {place.n: place.image_id for place in places}
        names = list(self.index.strata.numbers)
        found: dict[str, list[str]] = {}
        with self._cursor() as cursor:
            sql = f"SELECT n, stratum FROM explore.strata WHERE n IN ({', '.join(map(str, ids))}) ORDER BY stratum"
            for number, stratum in cursor.execute(sql).fetchall():
                found.setdefault(ids[number], []).append(names[stratum])
        return found

    def _row(self, image_id: str) -> Row:
        with self._lock:
            if row := self._rows.get(image_id):
                return row
        with self._cursor(self._reader(self._places_of_id(image_id))) as con:
            rows = image_rows(con, [image_id])
        self._keep_rows(rows)
        return rows[0]

    def _keep_rows(self, rows: Sequence[Row]) -> None:
        with self._lock:
            self._rows.update({row["image_id"]: row for row in rows})
            while len(self._rows) > _ROWS:
                self._rows.popitem(last=False)

    def _facts(self) -> Facts:
        index, con = self.index, self._con
        return {
            "dataset": self.dataset.url,
            "of": self.dataset.release,
            "total": index.total,
            "labels": choices(con, index.labels, "label"),
            "rules": choices(con, index.rules, "rule"),
            "producers": choices(con, index.producers, "producer"),
            "strata": strata(con, index.strata),
            "all_labels": len(index.labels.numbers) - 1,
        }

    def _add_strata(self) -> None:
        """Finds the images that are worth looking at, in at most _SAMPLED shards, evenly spread."""
        shards = list(self.dataset.files(self.dataset.release or IMAGES))
        sampled = shards[:: -(-len(shards) // _SAMPLED) or 1]
        with connect(self.dataset.of_shards(sampled)) as con:
            add_strata(self._con, run_named(con, QUERY), self.index)


def _served(record: ImageRecord) -> ServedRecord:
    return {**record, "src": f"picture/small/{record['id']}", "large": f"picture/large/{record['id']}"}
