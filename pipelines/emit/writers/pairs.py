"""pairs-*.parquet: the training pairs of a shard, each with the place of its image in the tar.

A shard without pairs has no such file, because `datasets` refuses a table without rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from engine.layout import PAIR_FILES
from engine.storage.commits import PARQUET
from model.pairs.pair import PAIRS, pair_row
from pipelines.emit.writers.format import Format, Sample, Shard

_BATCH = 5000  # rows of a row group, and at most so many in memory


class PairWriter:
    def __init__(self, file: BinaryIO, shard: Shard) -> None:
        self._file, self._tar_name = file, shard.tar_name
        self._rows: list[Mapping[str, Any]] = []
        self._count = 0
        self._table: pq.ParquetWriter | None = None

    def add(self, sample: Sample) -> None:
        image = {**sample.row, "uri": self._tar_name, "offset": sample.offset, "length": sample.length}
        self._rows += [pair_row(pair, image) for pair in sample.pairs]
        while len(self._rows) >= _BATCH:
            self._write(_BATCH)

    def finish(self) -> int:
        if self._rows:
            self._write(len(self._rows))
        if self._table:
            self._table.close()
        return self._count

    def _write(self, count: int) -> None:
        if self._table is None:
            self._table = pq.ParquetWriter(self._file, PAIRS, **PARQUET)
        rows = pa.Table.from_pylist(self._rows[:count], schema=PAIRS)
        self._table.write_table(rows, row_group_size=_BATCH)
        self._count += count
        del self._rows[:count]


PAIRS_TABLE = Format(PAIR_FILES, "parquet", PairWriter)
