"""The records of some images as rows: with all annotations, and with those that the current rules keep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from engine.layout import IMAGES
from engine.reading.dataset import Dataset
from engine.records.assemble import assemble
from engine.schema import RECORD, record_table
from engine.storage.commits import TableReader
from filters.judging.keep import keep

Rows = dict[str, Mapping[str, Any]]  # by image id
Tables = Sequence[pa.Table]  # records, one table a shard


def records(dataset: Dataset, wanted: set[str]) -> tuple[Rows, Rows]:
    """{image id: row} twice: with all annotations, and with the kept ones.

    Masks are merged into the regions they outline.
    """
    given, kept = record_tables(dataset, wanted)
    return rows_of(given), rows_of(kept)


def record_tables(dataset: Dataset, wanted: set[str]) -> tuple[Tables, Tables]:
    """The same as tables."""
    judged = dataset.judged_files()
    both = [tables_of_shard(dataset, shard, judged.get(shard), wanted) for shard in dataset.files(IMAGES)]
    return [given for given, _ in both], [kept for _, kept in both]


def records_of(dataset: Dataset, shard: int, judged: str | None, wanted: set[str]) -> tuple[Rows, Rows]:
    """The same as `records`, for one shard. `judged`: the file with its verdicts, or None if it is not judged yet."""
    given, kept = tables_of_shard(dataset, shard, judged, wanted)
    return rows_of([given]), rows_of([kept])


def tables_of_shard(dataset: Dataset, shard: int, judged: str | None, wanted: set[str]) -> tuple[pa.Table, pa.Table]:
    ids = TableReader(dataset.storage, dataset.files(IMAGES)[shard], ["image_id"]).read()
    files = [(dataset.files(node.folder).get(shard), node.columns) for node in dataset.record_nodes()]
    nothing = RECORD.empty_table()
    if not len(only(ids, wanted)) or not files or any(file is None for file, _ in files):
        return nothing, nothing
    record = assemble([_columns(TableReader(dataset.storage, file).read(), names) for file, names in files if file])
    if judged is None:
        return only(record, wanted), nothing
    rows = keep(record, TableReader(dataset.storage, judged).read())
    return only(record, wanted), only(rows, wanted)


def rows_of(tables: Tables) -> Rows:
    return {row["image_id"]: row for table in tables for row in table.to_pylist()}


def _columns(table: pa.Table, columns: Sequence[str]) -> pa.Table:
    """The table with only these annotation columns filled. The others are empty."""
    blank = record_table([{"image_id": image_id} for image_id in table["image_id"].to_pylist()])
    arrays = [table[name] if name in (*columns, "image_id", "failures") else blank[name] for name in RECORD.names]
    return pa.Table.from_arrays(arrays, schema=RECORD)


def only(table: pa.Table, wanted: set[str]) -> pa.Table:
    return table.filter(pc.is_in(table["image_id"], value_set=pa.array(sorted(wanted), pa.string())))
