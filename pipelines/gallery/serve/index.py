"""Small tables, made once from a data set, so that pages of a million images are found in a fraction of a second.

explore.images has one row for each image: its number `n` in the order in which images were listed, the shard that it
is in, and its verdict. explore.facts has the distinct (image, label, rule, producer, kept) of all annotations. Labels,
rules and producers are numbers, those of `Index`; 0 is the empty name. `kept` is null for what is not judged yet.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypedDict

import numpy as np
import pyarrow as pa

from engine.layout import IMAGES
from engine.reading.dataset import Dataset
from engine.reading.raw_views import given
from engine.reading.sql import connect
from engine.schema import ANNOTATIONS

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_AT_ONCE = 100  # shards; joining all shards of a million images at once takes 20 times as long
_LISTED = 1000  # names of a filter that the page offers
_TABLES = """CREATE SCHEMA explore;
    CREATE TABLE explore.images (n INTEGER, image_id VARCHAR, shard INTEGER, rule SMALLINT, kept BOOLEAN);
    CREATE TABLE explore.facts (n INTEGER, label INTEGER, rule SMALLINT, producer SMALLINT, kept BOOLEAN);
    CREATE TABLE explore.strata (stratum INTEGER, place INTEGER, n INTEGER);"""
_LABELLED = ("regions", "tags")
Progress = Callable[[int, int], None]  # (shards done, all shards)


def no_progress(done: int, total: int) -> None:
    """For callers that show none."""


class Offer(TypedDict):
    """A name that a filter of the page offers, and the number of images that have it."""

    name: str
    number: int


class Names:
    """Numbers for names: the first name gets 0, the next 1."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {"": 0}

    def encoded(self, names: pa.ChunkedArray) -> pa.Array:
        """The numbers of these names, of which new ones are added. Null counts as ''."""
        parts = names.combine_chunks().fill_null("").dictionary_encode()
        numbers = [self.numbers.setdefault(name, len(self.numbers)) for name in parts.dictionary.to_pylist()]
        return pa.array(np.array(numbers, np.int32)[parts.indices.to_numpy()] if len(parts) else [], pa.int32())


@dataclass(slots=True)
class Index:
    total: int = 0  # images
    labels: Names = field(default_factory=Names)
    rules: Names = field(default_factory=Names)
    producers: Names = field(default_factory=Names)
    strata: Names = field(default_factory=Names)


def make_index(con: DuckDBPyConnection, dataset: Dataset, on_progress: Progress = no_progress) -> Index:
    """Makes the tables of this data set in a database."""
    con.execute(_TABLES)
    index = Index()
    shards = sorted(dataset.files(dataset.release or IMAGES))
    for start in range(0, len(shards), _AT_ONCE):
        _add(con, dataset, shards[start : start + _AT_ONCE], index)
        on_progress(min(start + _AT_ONCE, len(shards)), len(shards))
    return index


def _add(con: DuckDBPyConnection, dataset: Dataset, shards: list[int], index: Index) -> None:
    part = dataset.of_shards(shards)
    with connect(part) as source:
        files = part.files(part.release or IMAGES)
        paths = pa.table({"filename": [part.location(path) for path in files.values()], "shard": list(files)})
        source.register("shard_of", paths)
        source.execute(f"CREATE TABLE numbered AS {_NUMBERED.format(first=index.total)}")
        images = source.sql(_IMAGES).to_arrow_table()
        facts = [source.sql(sql).to_arrow_table() for sql in _facts(part)]
    index.total += len(images)
    for table, rows in (("images", images), ("facts", pa.concat_tables(facts))):
        for name, names in (("label", index.labels), ("rule", index.rules), ("producer", index.producers)):
            if name in rows.column_names:
                rows = rows.set_column(rows.column_names.index(name), name, names.encoded(rows[name]))
        con.register("rows_to_add", rows)
        con.execute(f"INSERT INTO explore.{table} BY NAME FROM rows_to_add")
        con.unregister("rows_to_add")


def add_strata(con: DuckDBPyConnection, reasons: pa.Table, index: Index) -> None:
    """Fills explore.strata with the result of the named query images_to_look_at."""
    rows = reasons.append_column("stratum", index.strata.encoded(reasons["reason"]))
    con.register("reasons", rows)
    con.execute("""INSERT INTO explore.strata SELECT r.stratum, r.place, i.n
        FROM reasons r JOIN explore.images i ON i.image_id = r.image_id""")
    con.unregister("reasons")


_NUMBERED = """
    SELECT ({first} - 1 + row_number() OVER (ORDER BY s.shard, i.file_row_number))::INTEGER AS n, i.image_id, s.shard
    FROM raw.images i JOIN shard_of s ON s.filename = i.filename"""
_IMAGES = """
    SELECT i.n, i.image_id, i.shard, v.image.rule AS rule, v.image.kept AS kept
    FROM numbered i LEFT JOIN raw.verdicts v ON v.image_id = i.image_id ORDER BY i.n"""


def _facts(dataset: Dataset) -> Iterator[str]:
    """A SELECT of the distinct facts of each annotation column.

    Annotations without a label need no join with their verdicts, because their ids begin with the producer.
    """
    judged = len(dataset.judged_files()) == len(dataset.files(IMAGES)) or bool(dataset.release)
    for column in ANNOTATIONS:
        if column in _LABELLED:
            yield _LABELLED_FACTS.format(column=column, given=given(dataset, column))
            continue
        yield _JUDGED_FACTS.format(column=column)
        if not judged:
            yield _UNJUDGED_FACTS.format(given=given(dataset, column))


# The fields of a verdict are taken out of the struct before the join: a join of structs takes twice as long.
_LABELLED_FACTS = """
    SELECT DISTINCT i.n, g.label, j.rule, g.producer, j.kept
    FROM ({given}) g
    JOIN numbered i ON i.image_id = g.image_id
    LEFT JOIN (SELECT image_id, v.id AS id, v.rule AS rule, v.kept AS kept
               FROM (SELECT image_id, unnest({column}) AS v FROM raw.verdicts)) j
      ON j.image_id = g.image_id AND j.id = g.annotation_id"""
_JUDGED_FACTS = """
    SELECT DISTINCT i.n, '' AS label, j.rule, j.producer, j.kept
    FROM (SELECT image_id, v.rule AS rule, v.kept AS kept, split_part(v.id, '/', 1) AS producer
          FROM (SELECT image_id, unnest({column}) AS v FROM raw.verdicts)) j
    JOIN numbered i ON i.image_id = j.image_id"""
_UNJUDGED_FACTS = """
    SELECT DISTINCT i.n, '' AS label, '' AS rule, g.producer, NULL::BOOLEAN AS kept
    FROM ({given}) g JOIN numbered i ON i.image_id = g.image_id
    WHERE g.image_id NOT IN (SELECT image_id FROM raw.verdicts)"""


# --- what the filters of the page offer ----------------------------------------------------------


def choices(con: DuckDBPyConnection, names: Names, column: str) -> list[Offer]:
    """The names of a column of explore.facts with their number of images, the most frequent first.

    At most _LISTED of them. The rules are those of annotations and of images.
    """
    rows = f"SELECT n, {column} AS name FROM explore.facts"
    if column == "rule":
        rows += " UNION ALL SELECT n, rule FROM explore.images"
    return _most_frequent(con, names, rows)


def strata(con: DuckDBPyConnection, names: Names) -> list[Offer]:
    return _most_frequent(con, names, "SELECT n, stratum AS name FROM explore.strata")


def _most_frequent(con: DuckDBPyConnection, names: Names, rows: str) -> list[Offer]:
    counts: Mapping[int, int] = dict(
        con.execute(f"SELECT name, count(DISTINCT n) AS images FROM ({rows}) WHERE name > 0 GROUP BY name").fetchall()
    )
    found = [Offer(name=name, number=counts[at]) for name, at in names.numbers.items() if at in counts]
    return sorted(found, key=lambda one: (-one["number"], one["name"]))[:_LISTED]
