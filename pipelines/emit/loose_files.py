"""Loose files of a release: files that belong to one image, such as the image itself or a list of its boxes.

They are not in the manifest, which would become too long. Each shard has a table files-<split>-<5 digits>.parquet with
the name, the sha256 and the size of each of its loose files, and this table is in the manifest.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.parquet as pq

from engine.layout import LOOSE_FILES
from engine.reading.release_manifest import Manifest
from engine.schema import required
from engine.storage.files import Storage
from engine.storage.parquet_writing import PARQUET, ROW_GROUP

LOOSE = pa.schema(
    [required("name", pa.string()), required("sha256", pa.string()), required("bytes", pa.int64())]
)  # `name`: the path below the folder of the release
LOOSE_PART = "files"  # the name of the table in the commit record of a shard
LooseFile = tuple[str, str, int]  # a row of LOOSE: path below the folder of the release, sha256, size
_AT_ONCE = 8 << 20  # bytes that are kept until they are written together, which saves time on object stores


class LooseFiles:
    """Writes the loose files of one shard, and then the table that lists them."""

    def __init__(self, storage: Storage, folder: str) -> None:
        self._storage, self._folder = storage, folder
        self._waiting: dict[str, bytes] = {}
        self._size = 0
        self._rows: list[tuple[str, str, int]] = []

    def put(self, name: str, data: bytes) -> None:
        """Adds a file. `name`: its path below the folder of the release."""
        self._rows.append((name, hashlib.sha256(data).hexdigest(), len(data)))
        self._waiting[f"{self._folder}/{name}"] = data
        self._size += len(data)
        if self._size >= _AT_ONCE:
            self._write()

    def finish(self, path: str) -> int:
        """Writes what is left, and the table to a local file. Returns the number of its rows; without any, no table."""
        self._write()
        if not self._rows:
            return 0
        self._storage.flush()
        columns = [
            pa.array(values, field.type) for values, field in zip(zip(*self._rows, strict=True), LOOSE, strict=True)
        ]
        pq.write_table(pa.table(columns, schema=LOOSE), path, row_group_size=ROW_GROUP, **PARQUET)
        return len(self._rows)

    def _write(self) -> None:
        self._storage.put_unflushed(self._waiting)
        self._waiting, self._size = {}, 0


def loose_tables(manifest: Manifest) -> list[str]:
    """The names of the tables that list loose files."""
    return [file["name"] for file in manifest["files"] if file["name"].startswith(LOOSE_FILES)]


def loose_files(storage: Storage, folder: str, manifest: Manifest) -> Iterator[LooseFile]:
    """All loose files of a release. Skips a table that is damaged."""
    for table in loose_tables(manifest):
        with contextlib.suppress(pa.ArrowException, OSError, KeyError):
            yield from read_loose_table(storage, f"{folder}/{table}")


def read_loose_table(storage: Storage, path: str) -> Iterator[LooseFile]:
    """The loose files that a table lists."""
    with storage.open(path) as file:
        rows = pq.read_table(file)
    yield from zip(*(rows[name].to_pylist() for name in LOOSE.names), strict=True)
