"""The listed inputs of one chunk as the items of a unit, for the probe.

Most columns of an input pass the probe unchanged. They stay in Arrow; only what the probe reads becomes Python objects.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import pyarrow as pa

from engine.component import EntryComponent
from engine.errors import ImageError
from engine.running.items import Batch
from engine.running.shard_inputs import ShardInputs
from engine.schema import PROBE, Failure, array_of, as_row

if TYPE_CHECKING:
    from engine.running.worker import Worker

READ = ("uri", "offset", "length", "frame", "frame_width", "frame_height", "reason", "error", "regions", "region_texts")
_UNPROBED = {"image_id": "", "width": 0, "height": 0, "format": "", "bytes": 0, "phash": "", "fits": ""}

Row = Mapping[str, Any]


class EntryItems:
    """The listed inputs of one chunk."""

    schema = PROBE

    def __init__(self, worker: Worker, inputs: ShardInputs) -> None:
        self.worker, self.node = worker, worker.node
        self.listed = inputs.images
        columns = [name for name in READ if name in self.listed.column_names]  # older tables have no `reason`
        self.rows: list[dict[str, Any]] = self.listed.select(columns).to_pylist()
        self._kept = inputs.answered_before()

    def __len__(self) -> int:
        return len(self.rows)

    def name(self, position: int) -> str:
        return str(self.rows[position]["uri"])

    def batches(self, lo: int, hi: int, size: int) -> Iterator[tuple[int, int]]:
        for start in range(lo, hi, size):
            yield start, min(start + size, hi)

    def prepare(self, lo: int, hi: int) -> Batch:
        kept = self._kept or {}
        settled = {position: kept[position] for position in range(lo, hi) if position in kept}
        return Batch([(p, self.rows[p]) for p in range(lo, hi) if p not in settled], settled)

    def annotate(self, rows: Sequence[Row]) -> Sequence[Row | Failure]:
        answers = cast(EntryComponent, self.worker.component).probe(rows)
        return [
            Failure("ingest", answer.reason, str(answer)) if isinstance(answer, ImageError) else answer
            for answer in answers
        ]

    def check(self, row: Row, answer: Any) -> Any:
        return answer

    def table(self, answers: Sequence[Any], lo: int) -> pa.Table:
        rows = [{"failures": [as_row(one)]} if isinstance(one, Failure) else one for one in answers]
        listed = self.listed.slice(lo, len(rows))
        return pa.Table.from_arrays([_column(field, rows, listed) for field in PROBE], schema=PROBE)

    def close(self) -> None:
        return None


def _column(field: pa.Field, rows: Sequence[Row], listed: pa.Table) -> pa.Array | pa.ChunkedArray:
    """A column of PROBE: the values in `rows` and, where a row has none, those of the listed input."""
    name = field.name
    if name not in listed.column_names:
        empty = _UNPROBED.get(name, ())
        return array_of([row.get(name, empty) for row in rows], field.type)
    if not any(name in row for row in rows):
        return listed[name].cast(field.type)
    before = listed[name].to_pylist()
    return array_of([row.get(name, value) for row, value in zip(rows, before, strict=True)], field.type)
