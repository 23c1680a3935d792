"""Joins the records that several nodes wrote about one shard."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from engine.errors import EngineError
from engine.records.shard import Column, Ints, Shard, as_lists, filled, one_array, with_field
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
    offsets, order = merged_order([column.offsets for column in columns])
    values = pa.concat_arrays([part.cast(kind).flatten() for part in used])
    return as_lists(kind, offsets, values.take(pa.array(order)))


def merged_order(parts: Sequence[Ints]) -> tuple[Ints, Ints]:
    """(offsets, order) for joining list columns image by image. `parts`: the offsets of each column.

    offsets: those of the joined lists. order: for each value of the joined lists, its position among the values of all
    columns, one column after the other. Values are ordered by image, and within an image by column.
    """
    counts = np.array([np.diff(offsets) for offsets in parts])
    offsets = np.append(0, np.cumsum(counts.sum(axis=0)))
    begin = offsets[:-1] + np.cumsum(counts, axis=0) - counts
    target = np.concatenate(
        [np.arange(own[-1]) + np.repeat(begin[k] - own[:-1], counts[k]) for k, own in enumerate(parts)]
    )
    order = np.empty(len(target), np.int64)
    order[target] = np.arange(len(target))
    return offsets, order


def _outlined(record: pa.Table) -> pa.Table:
    """The record, with each mask copied to the region that it outlines."""
    shard = Shard(record, record)
    regions = shard.column("regions")
    given = regions.arrow("rle")
    masks = outlined(shard, given)
    if masks is given:
        return record
    at = record.schema.get_field_index("regions")
    lists = as_lists(record.schema.field(at).type, regions.offsets, with_field(regions.values, "rle", masks))
    return record.set_column(at, record.schema.field(at), lists)


def outlined(shard: Shard, given: pa.Array) -> pa.Array:
    """The masks of the regions, with each mask copied to the region that it outlines.

    `given`: the field `rle` of the regions, which is returned if no mask is copied. If several masks outline a region,
    it gets the first.
    """
    has_mask = filled(given)
    if not has_mask.any():
        return given
    regions, roots = shard.column("regions"), shard.roots
    masks = np.flatnonzero(has_mask & filled(regions.arrow("merged_into")))
    masks = masks[~has_mask[roots[masks]]]
    rounds = regions.numbers("round")
    masks = masks[rounds[masks] >= rounds[roots[masks]]]
    if not len(masks):
        return given
    source = np.arange(len(regions))
    source[roots[masks][::-1]] = masks[::-1]  # the last assignment wins, so the first mask is assigned last
    return given.take(pa.array(source))
