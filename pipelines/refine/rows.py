"""The rows that rounds read and write: the kept annotations of a shard, and new regions and texts as record rows.

Boxes are in pixels of the upright image. Human annotations have the score None.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from engine.running.shard_inputs import ShardInputs
from engine.schema import Region, RegionText, Text, as_row, text_key
from filters.judging.keep import keep
from model.decoding.likelihood import SCORE_KIND
from pipelines.filter.judge import shard_record

Row = dict[str, Any]  # a row of an Arrow table; the schemas are in engine/schema.py


class KeptShard:
    """The kept annotations of a shard.

    record: [[node, columns], ..], as in `shard_record`. judge: the name of the judge node.
    """

    def __init__(self, inputs: ShardInputs, record: Sequence[Any], judge: str) -> None:
        self.record, _ = shard_record(inputs, record, ())
        self.verdicts = inputs.table(judge)
        self.rows: list[Row] = keep(self.record, self.verdicts).to_pylist()
        self.images: dict[str, Row] = {row["image_id"]: row for row in inputs.images.to_pylist()}


def region_row(
    name: str,
    producer: str,
    round_number: int,
    label: str,
    box: Sequence[float],
    score: float | None,
    kind: str,
    parents: Sequence[str],
) -> Row:
    x1, y1, x2, y2 = (float(np.float32(edge)) for edge in box)
    region = Region(x1, y1, x2, y2, label, id=name, producer=producer, round=round_number)
    region.score, region.score_kind, region.parents = score, kind, list(parents)
    return as_row(region)


def provenance(name: str, producer: str, round_number: int, score: float | None, parents: Sequence[str]) -> Row:
    row = {"id": name, "producer": producer, "round": round_number, "score": score, "score_kind": SCORE_KIND}
    return row | {"parents": list(parents)}


def text_row(common: Row, granularity: str, text: str) -> Row:
    return as_row(Text(text, granularity, text_key(text), **common))


def region_text_row(common: Row, region_id: str, text: str) -> Row:
    return as_row(RegionText(region_id, text, **common))
