"""Reads single columns of a committed Parquet file, and single fields of the annotations in a list column.

A table of answers has 76 columns of values, of which a rule reads a few.
"""

from __future__ import annotations

import pyarrow as pa

from engine.storage.commits import TableReader


class ColumnReader(TableReader):
    """A TableReader that also reads columns one by one. It stores nothing that it has read."""

    def column(self, name: str) -> pa.Array:
        """All values of a column."""
        return self._array(name, name)

    def field(self, column: str, name: str) -> pa.ListArray:
        """A list column, with structs that have at least the field `name`. Other fields may be missing."""
        return self._array(column, f"{column}.list.element.{name}")

    def _array(self, column: str, path: str) -> pa.Array:
        if self._lacking is not None:  # a file of an earlier schema version: the column or field may have to be added
            read = self.read().column(column)
        else:
            with self._damage():
                read = self._file.read(columns=[path], use_threads=False).column(0)
        return read.chunk(0) if read.num_chunks == 1 else read.combine_chunks()
