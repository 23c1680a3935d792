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


def records(dataset: Dataset, wanted: set[str]) -> tuple[Rows, Rows]:
    """{image id: row} twice: with all annotations, and with the kept ones.

    Masks are merged into the regions they outline.
    """
    given: Rows = {}
    kept: Rows = {}
    judged = dataset.judged_files()
    for shard in dataset.files(IMAGES):
        own, own_kept = records_of(dataset, shard, judged.get(shard), wanted)
        given |= own
        kept |= own_kept
    return given, kept


def records_of(dataset: Dataset, shard: int, judged: str | None, wanted: set[str]) -> tuple[Rows, Rows]:
    """The same as `records`, for one shard. `judged`: the file with its verdicts, or None if it is not judged yet."""
    ids = TableReader(dataset.storage, dataset.files(IMAGES)[shard], ["image_id"]).read()
    files = [(dataset.files(node.folder).get(shard), node.columns) for node in dataset.record_nodes()]
    if not len(only(ids, wanted)) or not files or any(file is None for file, _ in files):
        return {}, {}
    record = assemble([_columns(TableReader(dataset.storage, file).read(), names) for file, names in files if file])
    given: Rows = {row["image_id"]: row for row in only(record, wanted).to_pylist()}
    if judged is None:
        return given, {}
    rows = keep(record, TableReader(dataset.storage, judged).read())
    return given, {row["image_id"]: row for row in only(rows, wanted).to_pylist()}


def _columns(table: pa.Table, columns: Sequence[str]) -> pa.Table:
    """The table with only these annotation columns filled. The others are empty."""
    blank = record_table([{"image_id": image_id} for image_id in table["image_id"].to_pylist()])
    arrays = [table[name] if name in (*columns, "image_id", "failures") else blank[name] for name in RECORD.names]
    return pa.Table.from_arrays(arrays, schema=RECORD)


def only(table: pa.Table, wanted: set[str]) -> pa.Table:
    return table.filter(pc.is_in(table["image_id"], value_set=pa.array(sorted(wanted), pa.string())))
