"""<split>-*.parquet: the records of a shard, and the place of each image: in the tar of the same name, or a loose file.

The column `tar` has the path of the file that holds the bytes, relative to the folder of the release.
"""

from __future__ import annotations

from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from engine.schema import required
from engine.storage.parquet_writing import PARQUET, ROW_GROUP
from pipelines.emit.sections.loading import tables_section
from pipelines.emit.writers.format import SAMPLE, Format, Sample, Shard

RELEASE = pa.schema([*SAMPLE, required("tar", pa.string()), *(required(n, pa.int64()) for n in ("offset", "length"))])


class ParquetWriter:
    """Writes the records of the shard's table.

    It reads only two things from a sample: its number and its place in the release.
    """

    def __init__(self, file: BinaryIO, shard: Shard) -> None:
        self._file, self._shard = file, shard
        self._places: list[tuple[int, str, int, int]] = []

    def add(self, sample: Sample) -> None:
        self._places.append((sample.number, sample.uri, sample.offset, sample.length))

    def finish(self) -> int:
        rows, count = self._shard.rows, len(self._places)
        numbers, *places = zip(*self._places, strict=True) if count else ((), (), (), ())
        if count < rows.num_rows:
            rows = rows.take(pa.array(numbers, pa.int64()))
        columns = [pa.array(values, field.type) for values, field in zip(places, list(RELEASE)[-3:], strict=True)]
        table = pa.table([*rows.columns, *columns], schema=RELEASE)
        pq.write_table(table, self._file, row_group_size=ROW_GROUP, **PARQUET)
        return count


PARQUET_TABLE = Format(
    ParquetWriter,
    suffix="parquet",
    verifier="pipelines.emit.verifiers.parquet:ParquetVerifier",
    card=tables_section,
)
