"""Drops regions that too few producers found. A region's `support` lists who found it: "ssd/3" counts for "ssd".

Use it after a consensus. A region that was not merged counts only the producer that made it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow.compute as pc

from engine.config.ranges import Amount
from engine.records.columns import Regions
from engine.records.shard import Floats
from filters.judging.bounds import Kinds, row_bounds
from filters.judging.needs import Given, needs
from filters.verdict import Verdict


def _lacking(given: Given, options: Mapping[str, Any]) -> str:
    bounds = [options["producers"], *options["by_producer"].values(), *options["by_label"].values()]
    least = min((bound for bound in bounds if isinstance(bound, int | float)), default=0)
    if least <= len(given.detectors):
        return ""
    there = f"only {' and '.join(given.detectors)}" if given.detectors else "no node"
    return f"needs {least:g} producers, but {there} gives boxes: add another detector"


@needs(_lacking)
def agreement(
    regions: Regions,
    *,
    producers: Amount = 2,
    below: Amount = 1.0,
    by_producer: Mapping[str, Amount] = {},
    by_label: Mapping[str, Amount] = {},
    kinds: Kinds = ("object",),
) -> Verdict:
    """Drop regions that fewer than `producers` different producers found and whose score is less than `below`.

    For example, a region with the support ["ssd/3", "ssd/9"] has one producer. By default it is dropped even at a score
    of .9; with `below: 0.8` it is kept. `by_label` ({kite: 1}) and `by_producer` set another number for some regions; a
    label overrides a producer. `kinds`: the kinds of regions that are judged. Text regions are left out by default,
    because usually only one reader finds them.
    """
    wanted = row_bounds(regions, "producers", producers, by_producer=by_producer, by_label=by_label)
    judged = np.logical_or.reduce([regions.equals("kind", kind) for kind in kinds]) & (regions.score < below)
    seen = witnesses(regions)
    return Verdict(~judged | (seen >= wanted), "agreement", np.where(judged, seen, np.nan), wanted)


def witnesses(regions: Regions) -> Floats:
    """The number of producers that found each region; 1 for a region without support."""
    support = regions.strings("support")
    region = np.repeat(np.arange(len(regions)), pc.list_value_length(support).to_numpy())
    ids = support.flatten().dictionary_encode()  # a shard names the same few hundred ids again and again
    names = pc.replace_substring_regex(ids.dictionary, "/[^/]*$", "").dictionary_encode()
    count = max(len(names.dictionary), 1)
    distinct = np.unique(region * count + names.indices.to_numpy()[ids.indices.to_numpy()])
    return np.maximum(np.bincount(distinct // count, minlength=len(regions)), 1).astype(np.float64)
