"""The pairs of a release: compiled image by image while its shard is written, proven, counted.

They lie in pairs-*.parquet with the place of their image in the tar, and, short, in each sample's json. A shard
without pairs has no such file: `datasets` refuses one of no rows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from engine.schema import STRINGS, required
from engine.storage.commits import PARQUET
from model.pairs.compile import compile_pairs
from model.pairs.pair import PAIRS, Compiled, Options, pair_row
from pipelines.recipe import Pairs

# A pair in a sample's json: what it is made of lies in the same record.
PAIR = pa.struct([PAIRS.field(name) for name in ("task", "prompt", "target")] + [required("annotation_ids", STRINGS)])
_BATCH = 5000  # rows of a row group: what is in memory at a time


def pair_options(pairs: Pairs) -> Options:
    """ConfigError for a task that is none, with the nearest right one."""
    chosen: dict[str, Any] = {"tasks": pairs.tasks} if pairs.tasks else {}
    return Options(
        order=pairs.order, max_tokens=pairs.max_tokens, max_points=pairs.max_points, masks=pairs.masks, **chosen
    )


@dataclass(slots=True)
class PairCounts:
    """How many pairs are proven, by task; what was left out, by task and reason; how many lack regions for length."""

    proven: Counter[str] = field(default_factory=Counter)
    left_out: Counter[tuple[str, str]] = field(default_factory=Counter)
    truncated: int = 0

    def add(self, made: Compiled) -> None:
        self.proven.update(made.proven)
        self.left_out.update(made.left_out)
        self.truncated += sum(pair.truncated for pair in made.pairs)

    def told(self) -> dict[str, Any]:
        """As a manifest says it."""
        left_out: dict[str, dict[str, int]] = {}
        for (task, reason), number in sorted(self.left_out.items()):
            left_out.setdefault(task, {})[reason] = number
        return {"proven": dict(sorted(self.proven.items())), "left_out": left_out, "truncated": self.truncated}


def sum_of_told(parts: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """What several shards told, as one."""
    total = PairCounts()
    for part in parts:
        total.proven.update(part["proven"])
        for task, reasons in part["left_out"].items():
            total.left_out.update({(task, reason): number for reason, number in reasons.items()})
        total.truncated += part["truncated"]
    return total.told()


class PairWriter:
    """Writes one shard's pairs; no file of none."""

    def __init__(self, path: str, tar_name: str, options: Options) -> None:
        self.path, self.tar_name, self.options = path, tar_name, options
        self.counts = PairCounts()
        self._rows: list[dict[str, Any]] = []
        self._file: pq.ParquetWriter | None = None

    def add(self, row: Mapping[str, Any], place: Sequence[int]) -> list[dict[str, Any]]:
        """The pairs of a release row, as its json holds them. `place`: where the image lies in the tar."""
        made = compile_pairs(row, width=row["width"], height=row["height"], options=self.options)
        self.counts.add(made)
        image = {**row, "uri": self.tar_name, "offset": place[0], "length": place[1]}
        self._rows += [pair_row(pair, image) for pair in made.pairs]
        while len(self._rows) >= _BATCH:
            self._write(self._rows[:_BATCH])
            del self._rows[:_BATCH]
        return [{name: getattr(pair, name) for name in PAIR.names} for pair in made.pairs]

    def __enter__(self) -> PairWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if kind is None and self._rows:
            self._write(self._rows)
        if self._file:
            self._file.close()

    def _write(self, rows: Sequence[Mapping[str, Any]]) -> None:
        if self._file is None:
            self._file = pq.ParquetWriter(self.path, PAIRS, **PARQUET)
        self._file.write_table(pa.Table.from_pylist(list(rows), schema=PAIRS), row_group_size=_BATCH)
