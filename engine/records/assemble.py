"""Joins the records that several nodes wrote about one shard."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from engine.errors import EngineError
from engine.records.shard import Column, Shard, as_lists, filled, one_array, with_field
from engine.schema import RECORD


def assemble(tables: Sequence[pa.Table]) -> pa.Table:
    """One record with the annotations of all tables, image by image, in the order of the tables.

    Nothing is removed, so the caller must choose the nodes so that no id occurs twice. If a region has a mask and was
    merged into another region, the mask is copied to that other region, if it has none. A region that a later
    refinement round made gets no mask this way, because its box may have moved.
    """
    if not tables:
        raise EngineError("No records to assemble: a shard needs at least one.")
    ids = one_array(tables[0].column("image_id"))
    for table in tables[1:]:
        if not one_array(table.column("image_id")).equals(ids):
            raise EngineError(
                "Records of different images cannot be assembled: pass tables of one shard, in its order."
            )
    lists = [
        _joined([one_array(table.column(field.name)) for table in tables], field.type) for field in list(RECORD)[1:]
    ]
    return _outlined(pa.Table.from_arrays([ids, *lists], schema=RECORD))


def _joined(parts: Sequence[pa.ListArray], kind: pa.DataType) -> pa.ListArray:
    used = [part for part in parts if len(part.flatten())] or [parts[0]]
    if len(used) == 1:
        return used[0].cast(kind)
    columns = [Column(part) for part in used]
    counts = np.array([np.diff(column.offsets) for column in columns])
    # Values are ordered by image, and within an image by part.
    offsets = np.append(0, np.cumsum(counts.sum(axis=0)))
    begin = offsets[:-1] + np.cumsum(counts, axis=0) - counts
    target = np.concatenate(
        [np.arange(len(column)) + (begin[k] - column.offsets[:-1])[column.image] for k, column in enumerate(columns)]
    )
    source = np.empty(len(target), np.int64)
    source[target] = np.arange(len(target))
    values = pa.concat_arrays([part.cast(kind).flatten() for part in used])
    return as_lists(kind, offsets, values.take(pa.array(source)))


def _outlined(record: pa.Table) -> pa.Table:
    """The record, with each mask copied to the region that it outlines.

    If several masks outline a region, it gets the first.
    """
    shard = Shard(record, record)
    regions = shard.column("regions")
    outlined = filled(regions.arrow("rle"))
    masks = np.flatnonzero(outlined & filled(regions.arrow("merged_into")))
    masks = masks[~outlined[shard.roots[masks]]]
    rounds = regions.numbers("round")
    masks = masks[rounds[masks] >= rounds[shard.roots[masks]]]
    if not len(masks):
        return record
    source = np.arange(len(regions))
    source[shard.roots[masks][::-1]] = masks[::-1]  # the last assignment wins, so the first mask is assigned last
    values = with_field(regions.values, "rle", regions.arrow("rle").take(pa.array(source)))
    at = record.schema.get_field_index("regions")
    return record.set_column(
        at, record.schema.field(at), as_lists(record.schema.field(at).type, regions.offsets, values)
    )
