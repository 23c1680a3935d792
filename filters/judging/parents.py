"""Finds the annotations that texts, region texts and phrases of a shard were made from (`parents`).

A merged region counts as the region it was merged into. If a refinement round changed the label of a region, texts made
from the region still use the old label; such links are marked as `renamed`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from engine.records.shard import Bools, Ints, Shard

DERIVED = ("texts", "region_texts", "phrases")  # columns whose rows may be made from other annotations


@dataclass(frozen=True, slots=True)
class Links:
    """Links between two columns: row children[i] of the column `child` was made from row parents[i] of the column
    `parent`. renamed[i]: whether a refinement round gave that parent another label.
    """

    child: str
    parent: str
    children: Ints
    parents: Ints
    renamed: Bools


def parent_links(shard: Shard) -> list[Links]:
    return [links for child in DERIVED if len(shard.column(child)) for links in _links_of(shard, child)]


def _links_of(shard: Shard, child: str) -> Iterator[Links]:
    column = shard.column(child)
    rows: Ints = np.repeat(np.arange(len(column)), column.lengths("parents"))
    ids = column.arrow("parents").flatten()
    for parent in ("regions", *DERIVED):
        if not len(rows):
            return
        found = shard.find(parent, column.image[rows], ids)
        known = found >= 0
        if known.any():
            named = found[known]
            root = shard.root_of(named) if parent == "regions" else named
            renamed = _renamed(shard, named, root) if parent == "regions" else np.zeros(len(named), np.bool_)
            yield Links(child, parent, rows[known], root, renamed)
        rows, ids = rows[~known], ids.filter(pa.array(~known))


def _renamed(shard: Shard, named: Ints, root: Ints) -> Bools:
    """Whether a later round merged a region into one with another label. `named`: rows of the regions that annotations
    name as parents. `root`: rows of the regions they were merged into. A merge by consensus does not count.
    """
    rounds, (labels, _) = shard.column("regions").numbers("round"), shard.column("regions").codes("label")
    answer: Bools = (rounds[root] > rounds[named]) & (labels[root] != labels[named])
    return answer
