"""Commits: which shards of a node are done. Names of files alone decide this.

A node writes to <node>/<first 8 digits of its key>/. The names of data files contain their digest. The commit record of
shard 17, 00017.json, is written only if there is none. So the first commit counts, and later ones change nothing. If a
shard is done again (--retry-failed, new labels for an old image), it gets a later revision, 00017-r2.json. Revisions
are numbered over the whole data set: an answer is stale if it read an older revision than the latest.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from engine.errors import DamageError, StorageError, SwappedRecord
from engine.storage.files import Storage, sha256_file, storage_errors
from engine.storage.migrate import completed, lacking
from engine.storage.parquet_writing import ROW_GROUP, GroupWriter, parquet_bytes
from engine.storage.sealed import advice_on, checked_bytes, damaged, name_digest, read_sealed, seal

IN_MEMORY = 2**21  # bytes of the largest local file that is read at once
_RECORD_NAME = re.compile(r"(\d{5,})(?:-r(\d+))?\.json")
_DATA_NAME = re.compile(r"(\d{5,})(?:-r(\d+))?-([0-9a-f]{8})\.(\w+)")


@dataclass(frozen=True, slots=True)
class File:
    """A committed file. The path is relative to the data set."""

    path: str
    sha256: str
    rows: int
    size: int


@dataclass(frozen=True, slots=True)
class Record:
    """A commit record. `files`: {part: file}. `inputs`: the data files that were read, {path: sha256}."""

    shard: int
    revision: int
    files: Mapping[str, File]
    failures: int = 0
    inputs: Mapping[str, str] = field(default_factory=dict)
    counts: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> bytes:
        fields = {name: getattr(self, name) for name in sorted(Record.__dataclass_fields__)}
        return seal({**fields, "files": {part: asdict(file) for part, file in self.files.items()}})

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any]) -> Record:
        """The record in these fields of its JSON. Raises TypeError, KeyError or AttributeError if they are wrong."""
        files = {part: File(**file) for part, file in fields["files"].items()}
        record = cls(**{**fields, "files": files})
        numbers = (record.shard, record.revision, *(number for file in files.values() for number in (file.rows,)))
        if not all(isinstance(number, int) for number in numbers) or not isinstance(record.inputs, dict):
            raise TypeError("not the fields of a record")
        return record


class Commits:
    """The committed shards of one node that has one key, in one folder."""

    def __init__(self, storage: Storage, folder: str) -> None:
        self.storage = storage
        self.folder = folder

    def revisions(self, shards: int | None = None, names: Sequence[str] | None = None) -> npt.NDArray[np.int32]:
        """The latest revision of each shard; -1 if it has none. Lists the folder once and opens no file."""
        latest: dict[int, int] = {}
        for shard, revision in self._records(self._names() if names is None else names):
            if revision > latest.get(shard, -1):
                latest[shard] = revision
        size = max(latest, default=-1) + 1 if shards is None else shards
        answer = np.full(size, -1, np.int32)
        for shard, revision in latest.items():
            if shard < size:
                answer[shard] = revision
        return answer

    def _names(self) -> list[str]:
        """The names in the folder. Raises DamageError if a file is in its place; it would look like an empty folder."""
        names = self.storage.names(self.folder)
        if not names and self.storage.local and os.path.isfile(self.storage.path(self.folder)):
            raise DamageError(f"'{self.folder}' is a file, expected a folder: move it away, or restore the folder.")
        return names

    def _records(self, names: Sequence[str]) -> Iterator[tuple[int, int]]:
        for name in names:
            if (found := shard_of_record(name)) is not None:
                yield found

    def _data(self, names: Sequence[str], suffix: str = "") -> dict[tuple[int, int], list[str]]:
        """{(shard, revision): paths of its data files}. Includes files that no record names."""
        found: dict[tuple[int, int], list[str]] = {}
        for name in names:
            if (place := shard_of_data(name)) is not None and (not suffix or name.endswith(f".{suffix}")):
                found.setdefault(place, []).append(f"{self.folder}/{name}")
        return found

    def record(self, shard: int, revision: int) -> Record:
        """The commit record. Raises FileNotFoundError if there is none, and DamageError if it was changed."""
        name = f"{self.folder}/{record_name(shard, revision)}"
        try:
            record = Record.from_fields(read_sealed(self.storage, name))
        except (TypeError, KeyError, AttributeError, ValueError):
            raise damaged(self.storage, name, "not the fields of a commit record") from None
        if (record.shard, record.revision) != (shard, revision):
            what = f"the record of shard {record.shard}, revision {record.revision}"
            raise damaged(self.storage, name, what, SwappedRecord)
        data = record.files.get("data")
        if data and data.path.rpartition("/")[0] != self.folder:
            what = f"the record of another folder, it names '{data.path}'"
            raise damaged(self.storage, name, what, SwappedRecord)
        return record

    def latest_records(self) -> Iterator[Record]:
        """The latest record of each shard that has one, ordered by shard."""
        for shard, revision in enumerate(self.revisions()):
            if revision >= 0:
                yield self.record(shard, int(revision))

    def commit(self, record: Record) -> bool:
        """Write the record and return True. If there is one already, delete this record's files and return False."""
        name = f"{self.folder}/{record_name(record.shard, record.revision)}"
        if self.storage.create(name, record.to_json()):
            return True
        first = self.record(record.shard, record.revision)
        named = {file.path for file in first.files.values()}
        own = self._data([path.rsplit("/", 1)[-1] for path in (file.path for file in record.files.values())])
        for path in own.get((record.shard, record.revision), ()):
            if path not in named:
                self.storage.remove(path)
        return False

    def put_file(self, shard: int, local_file: str, suffix: str, rows: int, revision: int = 0) -> File:
        """Move a finished local file into this folder. Its new name has the shard, the revision and the digest.

        The revision shows whether a file is left over, or belongs to a record that is not written yet.
        """
        size, digest = os.path.getsize(local_file), sha256_file(local_file)
        path = self._data_path(shard, revision, digest, suffix)
        self.storage.upload(local_file, path)
        return File(path, digest, rows, size)

    def put_table(self, shard: int, table: pa.Table, revision: int = 0, suffix: str = "parquet") -> File:
        """Write a table as a Parquet file. `suffix`: "parquet" for answers, any other for other tables."""
        data = parquet_bytes(table)
        digest = hashlib.sha256(data).hexdigest()
        path = self._data_path(shard, revision, digest, suffix)
        self.storage.put(path, data)
        return File(path, digest, table.num_rows, len(data))

    def _data_path(self, shard: int, revision: int, digest: str, suffix: str) -> str:
        return f"{self.folder}/{record_name(shard, revision).removesuffix('.json')}-{digest[:8]}.{suffix}"

    def data_files(self, suffix: str = "parquet") -> dict[int, str]:
        """{shard: data file of its latest revision}, committed files only. Raises DamageError if one is gone.

        A commit record is read only if several files, or none, have the right name.
        """
        names = self._names()
        found = self._data(names, suffix)
        answer: dict[int, str] = {}
        for shard, revision in enumerate(self.revisions(names=names)):
            candidates = found.get((shard, int(revision)), [])
            if revision >= 0 and len(candidates) != 1:
                candidates = self._named(shard, int(revision), suffix, candidates)
            if candidates:
                answer[shard] = candidates[0]
        return answer

    def _named(self, shard: int, revision: int, suffix: str, there: Sequence[str]) -> list[str]:
        """The files in this folder with this suffix that the commit record names. `there`: the files that exist."""
        files = self.record(shard, revision).files.values()
        named = [file.path for file in files if file.path.startswith(f"{self.folder}/")]
        named = [path for path in named if path.endswith(f".{suffix}")]
        for path in named:
            if path not in there:
                raise DamageError(f"'{path}' is gone, but a record names it: {advice_on(self.storage, path)}")
        return named

    def sweep(self) -> int:
        """Delete temporary files, and data files of committed shards that no record names. Returns how many."""
        removed = self.storage.sweep_temporaries(self.folder)
        names = self.storage.names(self.folder)
        records = set(self._records(names))
        for (shard, revision), paths in self._data(names).items():
            if len(paths) < 2 or (shard, revision) not in records:
                continue
            named = {file.path for file in self.record(shard, revision).files.values()}
            orphans = [path for path in paths if path not in named]
            for path in orphans:
                self.storage.remove(path)
            removed += len(orphans)
        return removed


class TableWriter:
    """Writes rows to a Parquet file of a folder. Memory does not grow with the shard."""

    def __init__(
        self, commits: Commits, shard: int, schema: pa.Schema, revision: int = 0, suffix: str = "parquet"
    ) -> None:
        self.commits, self.shard, self.revision, self.suffix = commits, shard, revision, suffix
        self.file: File
        self._scratch = commits.storage.scratch(f"{commits.folder}/{shard:05d}")
        self._rows = GroupWriter(self._scratch, schema)

    def __enter__(self) -> TableWriter:
        return self

    def write(self, table: pa.Table) -> None:
        with storage_errors(self._scratch):
            self._rows.write(table)

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if error is not None:
            self._give_up()
            return
        try:
            with storage_errors(self._scratch):
                self._rows.finish()
        except StorageError:
            self._give_up()
            raise
        self.file = self.commits.put_file(self.shard, self._scratch, self.suffix, self._rows.rows, self.revision)

    def _give_up(self) -> None:
        with contextlib.suppress(Exception):
            self._rows.close()
        with contextlib.suppress(OSError):
            os.unlink(self._scratch)


class TableReader:
    """Reads rows of a committed Parquet file by position, one row group at a time.

    Raises DamageError if the file does not match `sha256`, or the digest in its name. Columns that a file of an earlier
    schema version lacks are added (engine.storage.migrate).
    """

    def __init__(self, storage: Storage, path: str, columns: Sequence[str] | None = None, *, sha256: str = "") -> None:
        self._storage, self._path = storage, path
        source = _checked(storage, path, sha256)
        with self._damage():
            self._file = pq.ParquetFile(source, page_checksum_verification=True)
        self._columns = list(columns) if columns is not None else None
        self._lacking = lacking(path, self._file.schema_arrow, columns)
        self._group = -1
        self._table: pa.Table | None = None
        self.rows: int = self._file.metadata.num_rows
        self._group_rows: int = self._file.metadata.row_group(0).num_rows if self.rows else ROW_GROUP

    def slice(self, start: int, stop: int) -> pa.Table:
        pieces = []
        stop = min(stop, self.rows)
        while start < stop:
            group = start // self._group_rows
            if group != self._group or self._table is None:
                with self._damage():
                    # Threads would need more memory, and other workers use the other cores.
                    self._table = self._file.read_row_group(group, columns=self._columns, use_threads=False)
                    self._group = group
            offset = start - group * self._group_rows
            length = min(stop - start, self._table.num_rows - offset)
            pieces.append(self._table.slice(offset, length))
            start += length
        return self._completed(pa.concat_tables(pieces) if pieces else self._file.schema_arrow.empty_table())

    def read(self) -> pa.Table:
        with self._damage():
            return self._completed(self._file.read(columns=self._columns))

    def _completed(self, table: pa.Table) -> pa.Table:
        return table if self._lacking is None else completed(table, self._lacking)

    @contextlib.contextmanager
    def _damage(self) -> Iterator[None]:
        """A context that turns errors of pyarrow about the file into DamageError."""
        try:
            yield
        except (pa.ArrowException, OSError) as error:
            raise damaged(self._storage, self._path, " ".join(str(error).split())[:200]) from error


def _checked(storage: Storage, path: str, sha256: str) -> pa.NativeFile:
    """A data file, opened for reading after its sha256 was checked. A large local file is not held in memory."""
    if not storage.local or storage.size(path) <= IN_MEMORY:
        return pa.BufferReader(checked_bytes(storage, path, sha256))
    if not storage.sha256(path).startswith(sha256 or name_digest(path)):
        raise damaged(storage, path)
    return pa.OSFile(storage.path(path))


def record_name(shard: int, revision: int) -> str:
    return f"{shard:05d}.json" if revision == 0 else f"{shard:05d}-r{revision}.json"


def shard_of_record(name: str) -> tuple[int, int] | None:
    """(shard, revision) in the name of a commit record. None for any other name."""
    match = _RECORD_NAME.fullmatch(name) if name.endswith(".json") else None
    return (int(match[1]), int(match[2] or 0)) if match else None


def shard_of_data(name: str) -> tuple[int, int] | None:
    """(shard, revision) in the name of a data file. None for any other name."""
    match = _DATA_NAME.fullmatch(name)
    return (int(match[1]), int(match[2] or 0)) if match else None


def check_order(storage: Storage, folder: str, others: Iterable[str]) -> None:
    """Raise DamageError if a shard of `folder` is lost: a number is missing, or a folder in `others` has more shards.

    Shards get the next number, and answers are stored by number. A new shard would get the answers of a lost one.
    """
    found = Commits(storage, folder).revisions()
    check_holes(storage, folder, found)
    for other in others:
        check_tail(storage, folder, len(found), other, len(Commits(storage, other).revisions()))


def check_holes(storage: Storage, folder: str, revisions: npt.NDArray[np.int32]) -> None:
    if (revisions < 0).any():
        name = f"{folder}/{record_name(int(np.argmin(revisions)), 0)}"
        raise DamageError(f"'{name}' is gone, but later shards exist: {advice_on(storage, name)}")


def check_tail(storage: Storage, folder: str, size: int, other: str, size_of_other: int) -> None:
    """Raise DamageError if `other` has more shards than `folder`. Lists `folder` again before it does."""
    if size_of_other > size and size_of_other > (now := len(Commits(storage, folder).revisions())):
        name = f"{folder}/{record_name(now, 0)}"
        raise DamageError(f"'{name}' is gone, but '{other}' has answers for it: {advice_on(storage, name)}")
