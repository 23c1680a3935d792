"""Reads images in Parquet files: single values of a column, by row number.

A row group is decoded in pieces, and the last two pieces stay in memory. So rows that are read in order are decoded
once, and a row group of many gigabytes needs no more memory than a small one. One lock serves all files, because
Parquet readers are not thread-safe.
"""

from __future__ import annotations

import errno
import os
import stat
import threading
from bisect import bisect_right
from collections import OrderedDict, deque
from collections.abc import Iterator
from itertools import accumulate
from typing import Any

from engine.storage.urls import file_system, scheme_of

PIECE_BYTES = 16 * 2**20
_FILES = 4  # kept open

_lock = threading.Lock()
_open: OrderedDict[tuple[str, str], _Column] = OrderedDict()


def read_row(uri: str, column: str, row: int) -> bytes | None:
    """The bytes in a row of a binary column, or in the field `bytes` of a column of image structs. None for null.

    Raises FileNotFoundError if there is no such row. Raises ValueError, or an OSError without an errno, if the file
    cannot be decoded.
    """
    with _lock:
        values = _column(uri, column)
        try:
            value = values.value(row)
        except BaseException:
            _open.pop((uri, column)).close()  # after an error, the position of its reader is unknown
            raise
    found = value.as_py()
    return found if isinstance(found, bytes) else None


def forget() -> None:
    """Close all files, so that changed remote files are read again. Changes of local files are always noticed."""
    with _lock:
        while _open:
            _open.popitem()[1].close()


def parquet_file(uri: str) -> Any:
    """Open a ParquetFile that reads columns in pieces."""
    import pyarrow.parquet as pq

    source: Any = uri
    if scheme_of(uri):
        fs, path = file_system(uri)
        source = fs.open(path, "rb")
    elif not stat.S_ISREG(mode := os.stat(uri).st_mode):  # opening a pipe would block
        raise IsADirectoryError(uri) if stat.S_ISDIR(mode) else OSError(errno.ESPIPE, "not a file", uri)
    # Without a buffer, pyarrow reads a whole column of a row group at once.
    return pq.ParquetFile(source, buffer_size=2**20, pre_buffer=False)


def _column(uri: str, column: str) -> _Column:
    found, version = _open.get((uri, column)), _version(uri)
    if found is None or found.version != version:
        if found is not None:
            _open.pop((uri, column)).close()
        found = _open[uri, column] = _Column(uri, column, version)
        if len(_open) > _FILES:
            _open.popitem(last=False)[1].close()
    _open.move_to_end((uri, column))
    return found


def _version(uri: str) -> tuple[int, ...]:
    if scheme_of(uri):
        return ()
    status = os.stat(uri)
    return (status.st_ino, status.st_size, status.st_mtime_ns)


class _Column:
    """One column of an open file, and the position up to which it was read."""

    def __init__(self, uri: str, column: str, version: tuple[int, ...]) -> None:
        self.version = version
        self.file = parquet_file(uri)
        metadata = self.file.metadata
        groups = range(metadata.num_row_groups)
        self.starts = [0, *accumulate(metadata.row_group(group).num_rows for group in groups)]
        self.nested = is_nested(self.file.schema_arrow, column)
        self.column = f"{column}.bytes" if self.nested else column
        self.pieces: deque[tuple[int, Any]] = deque(maxlen=2)  # first row, values
        self.reading: Iterator[Any] = iter(())
        self.next = self.stop = 0  # row numbers: the next row to read, and the end of its row group

    def value(self, row: int) -> Any:
        if not 0 <= row < self.starts[-1]:
            raise FileNotFoundError(f"no row {row}")
        while True:
            for start, values in self.pieces:
                if start <= row < start + len(values):
                    return values[row - start]
            if not self.next <= row < self.stop:
                self._begin(bisect_right(self.starts, row) - 1)
            if (batch := next(self.reading, None)) is None:
                raise ValueError("it has fewer rows than its metadata states")
            values = batch.column(0)
            values = values.flatten()[0] if self.nested else values
            self.pieces.append((self.next, values))
            self.next += len(values)

    def _begin(self, group: int) -> None:
        self.next, self.stop = self.starts[group], self.starts[group + 1]
        rows = max(1, PIECE_BYTES * (self.stop - self.next) // max(1, self._bytes(group)))
        self.reading = self.file.iter_batches(rows, row_groups=[group], columns=[self.column], use_threads=False)

    def _bytes(self, group: int) -> int:
        metadata = self.file.metadata.row_group(group)
        chunks = (metadata.column(number) for number in range(metadata.num_columns))
        return sum(chunk.total_uncompressed_size for chunk in chunks if chunk.path_in_schema == self.column)

    def close(self) -> None:
        self.reading = iter(())
        self.file.close(force=True)


def is_nested(schema: Any, column: str) -> bool:
    """Whether the images are structs {bytes, path}. Raises FileNotFoundError if there is no such column."""
    import pyarrow as pa

    if len(schema.get_all_field_indices(column)) != 1:
        raise FileNotFoundError(f"no column '{column}', or two of that name")
    return bool(pa.types.is_struct(schema.field(column).type))
