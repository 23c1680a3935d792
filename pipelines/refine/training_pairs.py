"""The training pairs of a round: those of every kept training image of a shard, each with its fold.

A node over shards. A student trains on the pairs of all folds except its own (students.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from engine.component import Output
from engine.running.shard_inputs import ShardInputs
from engine.schema import required
from engine.storage.commits import Commits
from model.pairs.compile import compile_pairs
from model.pairs.options import PairOptions
from model.pairs.pair import PAIRS, pair_row
from pipelines.refine.rows import KeptShard, Row
from refinement.folds import fold_of

ROUND_PAIRS = PAIRS.append(required("fold", pa.int32()))


class RoundPairs:
    """Compiles the training pairs of a shard. pairs: the options of the compiler (model/pairs/options.py)."""

    def __init__(self, *, record: list[Any], judge: str, pairs: Mapping[str, Any], folds: int) -> None:
        self.record, self.judge, self.pairs, self.folds = record, judge, pairs, folds

    def load(self) -> None:
        self.options = PairOptions(**self.pairs)

    def run(self, shard: int, inputs: ShardInputs, commits: Commits) -> Output:
        kept = KeptShard(inputs, self.record, self.judge)
        rows: list[Row] = []
        for row in kept.rows:
            image = kept.images[row["image_id"]]
            if image["split"] != "train":
                continue
            made = compile_pairs(row, width=image["width"], height=image["height"], options=self.options)
            fold = fold_of(row["image_id"], self.folds)
            rows += [pair_row(pair, image) | {"fold": fold} for pair in made.pairs]
        file = commits.put_table(shard, pa.Table.from_pylist(rows, ROUND_PAIRS), inputs.unit.revision)
        return Output({"data": file}, len(rows), counts={"pairs": len(rows)})
