"""Writes the tables of a data set as Parquet. The settings are fixed: the same rows must always give the same bytes."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from engine.schema import ANNOTATIONS, INPUTS, PROBE, VERDICT, VERDICTS

ROW_GROUP = 500  # rows of a row group
WHOLE_GROUP = 2048  # the same for tables that are read as a whole: a row group of 76 columns costs as much as 1000 rows
VERDICT_GROUP = 4096  # the same for verdicts, which have few bytes a row
PARQUET: dict[str, Any] = {"compression": "zstd", "write_statistics": False, "write_page_checksum": True}


class GroupWriter:
    """Writes rows to a Parquet file in row groups of fixed size, however they are cut when they are given.

    `sink`: a path or an Arrow output stream. Memory does not grow with the number of rows.
    """

    def __init__(self, sink: Any, schema: pa.Schema) -> None:
        self.rows = 0  # written so far
        self._sink, self._schema, self._group = sink, schema, row_group(schema)
        self._writer: pq.ParquetWriter | None = None
        self._waiting: list[pa.Table] = []

    def write(self, table: pa.Table) -> None:
        self._waiting.append(table if table.schema == self._schema else table.cast(self._schema))
        if sum(piece.num_rows for piece in self._waiting) >= self._group:
            self._flush(final=False)

    def finish(self) -> None:
        """Write the remaining rows, and the end of the file."""
        self._flush(final=True)
        self._opened(self._schema.empty_table()).close()

    def close(self) -> None:
        """Close an unfinished file."""
        if self._writer is not None:
            self._writer.close()

    def _opened(self, first: pa.Table) -> pq.ParquetWriter:
        """The writer of the file. `first`: the first rows, on which the options depend."""
        if self._writer is None:
            self._writer = pq.ParquetWriter(self._sink, self._schema, **parquet_options(first))
        return self._writer

    def _flush(self, *, final: bool) -> None:
        table = pa.concat_tables(self._waiting) if self._waiting else self._schema.empty_table()
        size = table.num_rows
        whole = size if final else size - size % self._group
        for start in range(0, whole, self._group):
            piece = table.slice(start, min(self._group, whole - start)).combine_chunks()
            self._opened(piece).write_table(piece, row_group_size=self._group)
        self.rows += whole
        self._waiting = [table.slice(whole)] if whole < size else []


def parquet_bytes(table: pa.Table) -> bytes:
    """The content of a Parquet file with these rows."""
    sink = pa.BufferOutputStream()
    writer = GroupWriter(sink, table.schema)
    writer.write(table)
    writer.finish()
    data: bytes = sink.getvalue().to_pybytes()
    return data


def row_group(schema: pa.Schema) -> int:
    """The number of rows in each row group of a table."""
    if schema == VERDICTS:
        return VERDICT_GROUP
    return WHOLE_GROUP if schema in (INPUTS, PROBE) else ROW_GROUP


def parquet_options(table: pa.Table) -> dict[str, Any]:
    """Options of pyarrow's ParquetWriter for a file that begins with these rows."""
    return _verdict_options(table) if table.schema == VERDICTS else PARQUET


def _verdict_options(table: pa.Table) -> dict[str, Any]:
    """Settings for verdicts, which are written in half the time that PARQUET takes, and are not larger.

    Ids of images are hex, so zstd halves them; for the rest, snappy is as small. A dictionary of values that hardly
    repeat would only cost time. Most of the 39 columns are empty, and a dictionary of an empty column costs as much as
    its values. pyarrow reads the same schema without the copy of it that it stores by default.
    """
    filled = [name for name in ANNOTATIONS if any(len(chunk.flatten()) for chunk in table[name].chunks)]
    columns = [f"{name}.list.element.{part}" for name in filled for part in VERDICT.names]
    repeated = [name for name in columns if name.rpartition(".")[2] in ("id", "rule", "threshold")]
    compression = {**dict.fromkeys(columns, "snappy"), "image_id": "zstd", "image.id": "zstd"}
    repeated += ["image.rule", "image.threshold"]
    return {**PARQUET, "compression": compression, "use_dictionary": repeated, "store_schema": False}
