from __future__ import annotations

import math

from pipelines.refine.merge_counts import TextTotals, diversity


def shard(before: float | None, after: float | None, captions: int) -> TextTotals:
    return {"given": captions, "human": 0, "distinct": [before, after], "captions": captions}


def test_the_mean_over_shards_is_weighted_by_captions() -> None:
    empty = shard(None, None, 0)

    assert diversity([shard(1.0, 0.5, 3), shard(0.6, 0.1, 1), empty]) == (0.9, 0.4)
    assert all(map(math.isnan, diversity([empty])))
