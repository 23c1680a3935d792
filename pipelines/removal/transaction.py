"""Replaces the rows in the files of some commits, so that a crash at any moment can be repaired.

The new files are written first; their names hold their digests, so they stand beside the old ones. Then a file in
`removed/` lists the new records and the old files. From it the records are replaced and the old files deleted. If the
process is killed before that file exists, nothing refers to the new files, and the next attempt writes the same ones.
If it is killed later, `finish` repeats what the file lists.

A record keeps its shard and its revision: nothing that was made from it becomes stale, because the rows of all other
images are the same.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from engine.errors import DamageError
from engine.layout import REMOVED
from engine.storage.commits import Commits, File, Record, record_name, shard_of_data, shard_of_record
from engine.storage.files import Storage
from engine.storage.sealed import advice_on, checked_bytes, read_sealed, seal

REPLACING = "replacing-"  # how the names of the lists in removed/ begin

Change = Callable[[str, pa.Table], pa.Table]  # (path, table) -> another table, or the same object if nothing changes
Counts = Callable[["Changed", Record, Record], Record]  # (changes, old record, new record) -> with counts that fit

Names = dict[int, list[tuple[str, str]]]  # {shard: (folder, name) of its files}


@dataclass(slots=True)
class Changed:
    """The changed files of some commits. files: {old path: new file, or None if nothing is left}."""

    storage: Storage
    files: dict[str, File | None] = field(default_factory=dict)

    def now(self, file: File) -> File | None:
        return self.files.get(file.path, file)

    def inputs(self, inputs: Mapping[str, str]) -> dict[str, str]:
        """The same inputs of a record, with the new paths and digests."""
        found = ((File(path, sha256, 0, 0), self.files.get(path, path)) for path, sha256 in inputs.items())
        pairs = ((old, old if isinstance(now, str) else now) for old, now in found)
        return {now.path: now.sha256 for _, now in pairs if now is not None}


@dataclass(frozen=True, slots=True)
class Commit:
    """A committed record and its folder."""

    folder: str
    record: Record

    @property
    def path(self) -> str:
        return f"{self.folder}/{record_name(self.record.shard, self.record.revision)}"


def names_by_shard(storage: Storage, folders: Iterable[str], shards: Collection[int] | None = None) -> Names:
    """The files of commits by shard, from one listing of each folder. `shards`: only these; None for all."""
    answer: Names = {}
    for folder in folders:
        for name in storage.names(folder):
            found = shard_of_record(name) or shard_of_data(name)
            if found and (shards is None or found[0] in shards):
                answer.setdefault(found[0], []).append((folder, name))
    return dict(sorted(answer.items()))


def commits_in(storage: Storage, named: Iterable[tuple[str, str]]) -> list[Commit]:
    """The commits among these (folder, name), in all revisions."""
    numbers = sorted((folder, found) for folder, name in named if (found := shard_of_record(name)))
    return [Commit(folder, Commits(storage, folder).record(*number)) for folder, number in numbers]


def rewrite(
    storage: Storage,
    name: str,
    commits: Sequence[Commit],
    changed: Changed,
    change: Change,
    counts: Counts | None = None,
) -> None:
    """Changes the tables of these commits. `name`: of this transaction. `changed`: files that are changed already."""
    paths = {file.path: file for commit in commits for file in commit.record.files.values()}
    for path, file in paths.items():
        if path not in changed.files and not path.endswith(".tar"):
            table = read_table(storage, path, file.sha256)
            now = change(path, table)
            if now is not table:
                changed.files[path] = put_table(storage, path, now)
    records = {commit.path: _renewed(changed, commit.record, counts) for commit in commits}
    replaced = {commit.path: records[commit.path] for commit in commits if records[commit.path] != commit.record}
    if not replaced:
        return
    content = {path: base64.b64encode(record.to_json()).decode() for path, record in replaced.items()}
    listed = f"{REMOVED}/{REPLACING}{name}.json"
    storage.put(listed, seal({"records": content, "old": sorted(changed.files)}))
    finish(storage, listed)


def finish(storage: Storage, listed: str) -> None:
    """Replaces the records and deletes the old files that this file lists, then the file itself."""
    content: Mapping[str, Any] = read_sealed(storage, listed)
    for path, record in content["records"].items():
        storage.put(path, base64.b64decode(record))
    for path in content["old"]:
        storage.remove(path)
    storage.remove(listed)


def finish_all(storage: Storage) -> None:
    """Finishes what a killed removal had begun to replace."""
    for name in storage.names(REMOVED):
        if name.startswith(REPLACING):
            finish(storage, f"{REMOVED}/{name}")


def _renewed(changed: Changed, old: Record, counts: Counts | None) -> Record:
    files = {part: changed.now(file) for part, file in old.files.items()}
    new = replace(old, files={part: file for part, file in files.items() if file}, inputs=changed.inputs(old.inputs))
    return counts(changed, old, new) if counts else new


def read_table(storage: Storage, path: str, sha256: str = "") -> pa.Table:
    """A whole table with the schema that its file has: columns that older files lack are not added."""
    try:
        data = checked_bytes(storage, path, sha256)
    except FileNotFoundError:
        raise DamageError(f"'{path}' is gone, but a record names it: {advice_on(storage, path)}") from None
    return pq.ParquetFile(pa.BufferReader(data)).read()


def put_table(storage: Storage, path: str, table: pa.Table) -> File:
    """Writes the table into the folder of `path`, under the shard, revision and suffix of that name."""
    folder, _, name = path.rpartition("/")
    number = shard_of_data(name)
    assert number is not None, path
    return Commits(storage, folder).put_table(number[0], table, number[1], name.rpartition(".")[2])
