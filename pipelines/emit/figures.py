"""Numbers for the data card: images by licence, source and size, annotations by producer, the most frequent labels.

Workers count them when they write a shard, so the card needs no further pass over the release. Labels of a shard are
cut to the most frequent ones, because the labels of free text have no end. `more_labels` then counts the shards whose
labels were cut: the sums are too low by what these shards left out.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from engine.reading.release_manifest import Figures
from engine.schema import ANNOTATIONS
from pipelines.emit.source_names import without_folders

PEOPLE = "people"  # stands for the kind of score of annotations without a score
LANGUAGE = "language"  # the image score whose code is the language of a text
SIDES = (256, 512, 1024, 2048, 4096)  # sizes are counted by the longer side, in these steps
_SHARD_LABELS = 300  # labels of one shard, in its commit record
_LABELS = 50  # labels of a release, in its manifest
_COUNTED = ("licences", "sources", "sides", "languages", "labels")


def shard_figures(kept: pa.Table, images: pa.Table) -> dict[str, Any]:
    """The figures of one shard: its kept annotations (schema RECORD) and the rows of IMAGES of the same images."""
    labels = _labels(kept)
    return {
        "licences": _tally(images["licence"]),
        "sources": _sources(images),
        "sides": _sides(images),
        "languages": _languages(kept),
        "labels": dict(Counter(labels).most_common(_SHARD_LABELS)),
        "more_labels": int(len(labels) > _SHARD_LABELS),
        "producers": {column: found for column in ANNOTATIONS if (found := _producers(_flat(kept, column)))},
        "objects": sum(labels.values()),
        "words": _words(kept),
        "masks": _masks(kept),
    }


def sum_figures(parts: Iterable[Mapping[str, Any]]) -> Figures:
    """The figures of a release, from those of its shards. The order of the shards does not matter."""
    sums: dict[str, Counter[str]] = {name: Counter() for name in (*_COUNTED, "numbers")}
    producers: dict[str, dict[str, Counter[str]]] = {}
    for part in parts:
        for name in _COUNTED:
            sums[name].update(part[name])
        sums["numbers"].update({name: part[name] for name in ("objects", "words", "masks", "more_labels")})
        for column, found in part["producers"].items():
            for producer, kinds in found.items():
                producers.setdefault(column, {}).setdefault(producer, Counter()).update(kinds)
    numbers = sums["numbers"]
    return {
        "licences": _by_number(sums["licences"]),
        "sources": _by_number(sums["sources"]),
        "sides": {name: sums["sides"][name] for name in side_names() if sums["sides"][name]},
        "languages": _by_number(sums["languages"]),
        "labels": dict(list(_by_number(sums["labels"]).items())[:_LABELS]),
        "distinct_labels": len(sums["labels"]),
        "labels_cut": numbers["more_labels"],
        "producers": {
            column: {producer: dict(sorted(kinds.items())) for producer, kinds in sorted(producers[column].items())}
            for column in ANNOTATIONS
            if column in producers
        },
        "objects": numbers["objects"],
        "words": numbers["words"],
        "masks": numbers["masks"],
    }


def side_names() -> list[str]:
    """The names of the classes of sizes, from small to large."""
    first, last = f"up to {SIDES[0]}", f"over {SIDES[-1]}"
    return [first, *(f"{low + 1} to {high}" for low, high in itertools.pairwise(SIDES)), last]


def _by_number(counts: Mapping[str, int]) -> dict[str, int]:
    """The highest number first; equal numbers by name, so that the order does not depend on the order of shards."""
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _tally(values: pa.ChunkedArray | pa.Array) -> dict[str, int]:
    found = pc.value_counts(values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values)
    return _by_number({item["values"] or "": item["counts"] for item in found.to_pylist()})


def _flat(kept: pa.Table, column: str) -> pa.StructArray:
    return kept[column].combine_chunks().flatten()


def _objects(kept: pa.Table) -> pa.StructArray:
    """Regions that stand for one object each: those of the kind `object` that were not merged into another."""
    regions = _flat(kept, "regions")
    one = pc.and_(pc.equal(regions.field("kind"), "object"), pc.equal(regions.field("merged_into"), ""))
    return regions.filter(one)


def _labels(kept: pa.Table) -> dict[str, int]:
    return _tally(_objects(kept).field("label"))


def _masks(kept: pa.Table) -> int:
    return int(pc.sum(pc.not_equal(_flat(kept, "regions").field("rle"), "")).as_py() or 0)


def _words(kept: pa.Table) -> int:
    """Words of all texts, separated by white space."""
    return sum(len(text.split()) for text in _flat(kept, "texts").field("text").to_pylist())


def _languages(kept: pa.Table) -> dict[str, int]:
    """Texts by the language that a specialist found."""
    scores = _flat(kept, "image_scores")
    return _tally(scores.filter(pc.equal(scores.field("name"), LANGUAGE)).field("code"))


def _sources(images: pa.Table) -> dict[str, int]:
    """Images by source. An image in several sources counts in each of them."""
    counts: Counter[str] = Counter()
    for sources in images["sources"].to_pylist():
        counts.update(sorted({without_folders(one["source"]) for one in sources}))
    return _by_number(counts)


def _sides(images: pa.Table) -> dict[str, int]:
    longer = np.maximum(images["width"].to_numpy(), images["height"].to_numpy())
    names = side_names()
    numbers = np.bincount(np.searchsorted(SIDES, longer), minlength=len(names))
    return {name: int(number) for name, number in zip(names, numbers, strict=True) if number}


def _producers(annotations: pa.StructArray) -> dict[str, dict[str, int]]:
    """{producer: {kind of score: number}} of annotations of one column."""
    if not len(annotations):
        return {}
    named = pa.table({name: annotations.field(name) for name in ("producer", "score", "score_kind")})
    people = pc.is_null(named["score"])
    kinds = pc.if_else(people, PEOPLE, named["score_kind"])
    counted = pa.table({"producer": named["producer"], "kind": kinds}).group_by(["producer", "kind"])
    answer: dict[str, dict[str, int]] = {}
    for row in (
        counted.aggregate([([], "count_all")]).sort_by([("producer", "ascending"), ("kind", "ascending")]).to_pylist()
    ):
        answer.setdefault(row["producer"], {})[row["kind"]] = row["count_all"]
    return answer
