"""Reads verdicts: `keep` returns the kept part of a record, and `counts` counts the dropped rows by rule."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from engine.errors import EngineError
from engine.records.shard import Bools, Shard, as_lists, one_array, with_field
from engine.schema import ANNOTATIONS, RECORD


def keep(record: pa.Table, verdicts: pa.Table) -> pa.Table:
    """The record without the images and annotations that the verdicts drop.

    Region texts and phrases of a merged region then refer to the region it was merged into. References to dropped
    regions are removed. `support` is unchanged and may name dropped regions. `failures` is always empty, because an
    image with failures is never kept.
    """
    ids = one_array(record.column("image_id"))
    if not one_array(verdicts.column("image_id")).equals(ids):
        raise EngineError("These verdicts are for other images: pass the record that was judged.")
    shard = Shard(record, record)
    images: Bools = one_array(verdicts.column("image")).field("kept").to_numpy(zero_copy_only=False)
    kept = {name: _kept(shard, name, verdicts, images) for name in ANNOTATIONS}
    columns = [ids.filter(pa.array(images))]
    for field in list(RECORD)[1:]:
        column = shard.column(field.name)
        mask = kept.get(field.name, np.zeros(len(column), np.bool_))
        values = _redirected(shard, field.name, kept["regions"]).filter(pa.array(mask))
        sizes = np.bincount(column.image[mask], minlength=len(shard))[images]
        columns.append(as_lists(field.type, np.append(0, np.cumsum(sizes)), values))
    return pa.Table.from_arrays(columns, schema=RECORD)


def _kept(shard: Shard, name: str, verdicts: pa.Table, images: Bools) -> Bools:
    lists = one_array(verdicts.column(name))
    column = shard.column(name)
    mask: Bools = lists.flatten().field("kept").to_numpy(zero_copy_only=False)
    if len(mask) != len(column):
        raise EngineError(f"There are {len(mask)} verdicts for {len(column)} {name}: pass the record that was judged.")
    return mask & images[column.image]


def _redirected(shard: Shard, name: str, kept: Bools) -> pa.StructArray:
    """The values of a column, with references to a merged region replaced by the region it was merged into."""
    column = shard.column(name)
    if name not in ("phrases", "region_texts") or not len(column):
        return column.values
    region_ids = shard.column("regions").arrow("id")
    if name == "region_texts":
        region = shard.region_text_region
        ids = pa.array(region, mask=region < 0)
        return with_field(column.values, "region_id", region_ids.take(ids).fill_null(""))
    region, phrase = shard.phrase_regions, shard.phrase_of_link
    good = np.flatnonzero(np.append(kept, False)[region])
    _, first = np.unique(phrase[good] * max(len(kept), 1) + region[good], return_index=True)
    good = good[np.sort(first)]  # a region is named once, even if two of a phrase's regions were merged into it
    offsets = np.append(0, np.cumsum(np.bincount(phrase[good], minlength=len(column))))
    lists = as_lists(column.arrow("region_ids").type, offsets, region_ids.take(pa.array(region[good])))
    return with_field(column.values, "region_ids", lists)


def counts(verdicts: pa.Table) -> dict[str, dict[str, int]]:
    """The number of rows of each column by outcome: {column: {outcome: rows}}. The outcome is "kept", or the rule that
    dropped the rows.
    """
    found: dict[str, dict[str, int]] = {}
    for name in ("images", *ANNOTATIONS):
        column = verdicts.column("image" if name == "images" else name)
        array = one_array(column)
        rules = (array if name == "images" else array.flatten()).field("rule")
        found[name] = {pair["values"] or "kept": pair["counts"] for pair in rules.value_counts().to_pylist()}
    return found
