"""Which texts, region texts and phrases were made from which annotations, as rows of a shard.

A region that was merged into another stands for that one. What a refinement round renamed stands for nothing: what
was written of it gives its old name.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from engine.records.shard import Bools, Ints, Shard

SPEAKING = ("texts", "region_texts", "phrases")


@dataclass(frozen=True, slots=True)
class Links:
    """Rows of the column `child`, and of the column `parent` what each was made from. `renamed`: which of them were."""

    child: str
    parent: str
    children: Ints
    parents: Ints
    renamed: Bools


def parent_links(shard: Shard) -> list[Links]:
    return [links for child in SPEAKING if len(shard.column(child)) for links in _of(shard, child)]


def _of(shard: Shard, child: str) -> Iterator[Links]:
    column = shard.column(child)
    rows: Ints = np.repeat(np.arange(len(column)), column.lengths("parents"))
    ids = column.arrow("parents").flatten()
    for parent in ("regions", *SPEAKING):
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
    """Merged by a round into a region of another name. Consensus may name differently what one thing is."""
    rounds, (labels, _) = shard.column("regions").numbers("round"), shard.column("regions").codes("label")
    answer: Bools = (rounds[root] > rounds[named]) & (labels[root] != labels[named])
    return answer
