"""Applies emit.labels to the kept record of a shard: labels of regions and tags are renamed, or left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from engine.records.shard import Bools, as_lists, one_array, with_field
from engine.schema import ANNOTATIONS, RECORD, VERDICTS
from filters.judging.keep import keep

_LABELLED = ("regions", "tags")
LabelCounts = Mapping[str, Mapping[str, int]]


def relabelled(kept: pa.Table, rename: Mapping[str, str], drop: list[str]) -> tuple[pa.Table, LabelCounts]:
    """The record with other labels, and counts of what was done: {"renamed": {"old -> new": n}, "dropped": {label: n}}.

    `kept`: schema RECORD. A region that is dropped takes its texts with it, and phrases no longer refer to it. Ids do
    not change.
    """
    counts: dict[str, Counter[str]] = {"renamed": Counter(), "dropped": Counter()}
    remaining = {name: _remaining(kept[name], drop, counts["dropped"]) for name in _LABELLED}
    if counts["dropped"]:
        kept = keep(kept, _verdicts(kept, remaining))
    for name in _LABELLED if rename else ():
        kept = _renamed(kept, name, rename, counts["renamed"])
    return kept, {name: dict(sorted(found.items())) for name, found in counts.items()}


def _remaining(column: pa.ChunkedArray, drop: list[str], counts: Counter[str]) -> Bools:
    labels = one_array(column).flatten().field("label")
    dropped = pc.is_in(labels, value_set=pa.array(drop, pa.string()))
    for item in labels.filter(dropped).value_counts().to_pylist():
        counts[item["values"]] += item["counts"]
    mask: Bools = pc.invert(dropped).to_numpy(zero_copy_only=False)
    return mask


def _verdicts(kept: pa.Table, remaining: Mapping[str, Bools]) -> pa.Table:
    """Verdicts (schema VERDICTS) that drop the regions and tags which are not in `remaining`, and texts of regions."""
    regions = one_array(kept["regions"]).flatten().field("id").filter(pa.array(~remaining["regions"]))
    texts = one_array(kept["region_texts"]).flatten().field("region_id")
    # Ids of regions are unique only in their image, so a text is compared together with its image.
    own = _image_of(one_array(kept["region_texts"]))
    gone = _pairs(_image_of(one_array(kept["regions"]))[~remaining["regions"]], regions)
    without = pc.is_in(_pairs(own, texts), value_set=gone).to_numpy(zero_copy_only=False)
    with_texts = {**remaining, "region_texts": ~without}
    images = _verdict(kept["image_id"], np.ones(kept.num_rows, np.bool_))
    columns = [kept["image_id"], images]
    for name in ANNOTATIONS:
        lists = one_array(kept[name])
        ids = lists.flatten().field("id")
        mask = with_texts.get(name, np.ones(len(ids), np.bool_))
        offsets = np.append(0, np.cumsum(pc.list_value_length(lists).to_numpy(zero_copy_only=False)))
        columns.append(as_lists(VERDICTS.field(name).type, offsets, _verdict(ids, mask)))
    columns.append(kept["failures"])
    return pa.table(columns, schema=VERDICTS)


def _image_of(lists: pa.ListArray) -> Any:
    """The row of the image of each element."""
    return np.repeat(np.arange(len(lists)), pc.list_value_length(lists).to_numpy(zero_copy_only=False))


def _pairs(images: Any, ids: pa.Array) -> pa.Array:
    return pc.binary_join_element_wise(pa.array(images).cast(pa.string()), ids, " ")


def _verdict(ids: pa.Array | pa.ChunkedArray, kept: Bools) -> pa.StructArray:
    kind = VERDICTS.field("image").type
    number = len(kept)
    arrays = {
        "id": one_array(ids),
        "kept": pa.array(kept),
        "rule": pa.array([""] * number, pa.string()),
        "value": pa.nulls(number, pa.float64()),
        "threshold": pa.nulls(number, pa.float64()),
    }
    return pa.StructArray.from_arrays([arrays[field.name] for field in kind], fields=list(kind))


def _renamed(kept: pa.Table, name: str, rename: Mapping[str, str], counts: Counter[str]) -> pa.Table:
    lists = one_array(kept[name])
    values = lists.flatten()
    labels = values.field("label")
    found = pc.index_in(labels, value_set=pa.array(list(rename), pa.string()))
    for item in found.drop_null().value_counts().to_pylist():
        old, new = list(rename.items())[item["values"]]
        counts[f"{old} -> {new}"] += item["counts"]
    new_labels = pc.coalesce(pa.array(list(rename.values()), pa.string()).take(found), labels)
    offsets = np.append(0, np.cumsum(pc.list_value_length(lists).to_numpy(zero_copy_only=False)))
    column = as_lists(RECORD.field(name).type, offsets, with_field(values, "label", new_labels))
    return kept.set_column(kept.schema.get_field_index(name), RECORD.field(name), column)
