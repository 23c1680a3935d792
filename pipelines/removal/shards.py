"""Takes images out of one shard: their rows in every file of it, and their bytes in its packed tar.

Row i of every file of a shard is about image i, so the rows leave all files together, in all revisions. The shard keeps
its number. A shard of which no image is left keeps its records, with tables without rows.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from engine.layout import EMIT, IMAGES, SURVEY
from engine.records.selection import selection_counts, selection_of
from engine.storage.commits import Commits, File, Record, shard_of_data, shard_of_record
from engine.storage.files import Storage, storage_errors
from engine.storage.tars import TarWriter
from filters.judging.keep import counts as verdict_counts
from pipelines.filter.judge import number_released
from pipelines.ingest.committed_folders import OTHER_NUMBERS, committed_folders
from pipelines.removal.transaction import Changed, Commit, commits_in, names_by_shard, read_table, rewrite

Places = Mapping[str, tuple[str, int]]  # {image id: (tar, offset)}


def image_folders(storage: Storage) -> list[str]:
    """The folders whose files are numbered like the shards of images, without those of emission."""
    return [name for name in committed_folders(storage) if name.split("/")[0] not in {EMIT, *OTHER_NUMBERS}]


def remove_from_shards(storage: Storage, number: str, shards: Collection[int], images: Collection[str]) -> None:
    """Takes the images out of these shards. `number`: names the transactions."""
    for shard, named in names_by_shard(storage, image_folders(storage), shards).items():
        surveys = [(folder, name) for folder, name in named if folder.split("/")[0] == SURVEY]
        named = [one for one in named if one not in surveys]
        _delete(storage, surveys)  # the next run surveys the shard again
        work = _Shard(storage, images, commits_in(storage, named))
        work.change_tars(shard)
        work.find_texts()
        rewrite(storage, f"{number}-images-{shard:05d}", work.commits, work.changed, work.without, work.counted)
        _delete_unlisted(storage, named)


def _delete(storage: Storage, named: Sequence[tuple[str, str]]) -> None:
    """Deletes the files of commits, the records first."""
    for folder, name in sorted(named, key=lambda one: shard_of_record(one[1]) is None):
        storage.remove(f"{folder}/{name}")


def _delete_unlisted(storage: Storage, named: Sequence[tuple[str, str]]) -> None:
    """Deletes files of the shard that no record lists. Killed runs leave such files, with rows of any image."""
    listed = {file.path for commit in commits_in(storage, named) for file in commit.record.files.values()}
    for folder, name in named:
        if shard_of_data(name) and f"{folder}/{name}" not in listed:
            storage.remove(f"{folder}/{name}")


@dataclass(slots=True)
class _Shard:
    """One shard while its files are rewritten.

    moved: {old tar: places of the images that stay, in the new tar}. texts: keys of texts of removed images only.
    """

    storage: Storage
    images: Collection[str]
    commits: Sequence[Commit]
    changed: Changed = field(init=False)
    ids: pa.Array = field(init=False)
    moved: dict[str, Places] = field(default_factory=dict)
    texts: pa.Array = field(init=False)

    def __post_init__(self) -> None:
        self.changed = Changed(self.storage)
        self.ids = pa.array(sorted(self.images), pa.string())
        self.texts = pa.array([], pa.string())

    # --- packed tars ---

    def change_tars(self, shard: int) -> None:
        """Writes each packed tar again, without the bytes of the images."""
        own = [commit for commit in self.commits if commit.folder == IMAGES]
        for commit in own:
            tar = commit.record.files.get("tar")
            if tar is None or tar.path in self.changed.files:
                continue
            table = read_table(self.storage, commit.record.files["data"].path)
            rows = table.filter(pc.equal(table["uri"], tar.path)).to_pylist()
            if any(row["image_id"] in self.images for row in rows):
                left = [row for row in rows if row["image_id"] not in self.images]
                self.changed.files[tar.path] = self._packed_again(shard, tar, left)

    def _packed_again(self, shard: int, tar: File, rows: Sequence[Mapping[str, Any]]) -> File | None:
        """A tar with the members of these rows of images. None, and no file, if there are none."""
        if not rows:
            self.moved[tar.path] = {}
            return None
        commits, found = Commits(self.storage, IMAGES), dict[str, int]()
        scratch = self.storage.scratch(f"{IMAGES}/{shard:05d}")
        with storage_errors(scratch), self.storage.open(tar.path) as old, open(scratch, "wb") as file:
            writer = TarWriter(file)
            for row in rows:
                old.seek(row["offset"])
                data = old.read(row["length"])
                found[row["image_id"]], _ = writer.add(row["image_id"], row["format"].lower(), data)
            writer.close()
        revision = (shard_of_data(tar.path.rpartition("/")[2]) or (shard, 0))[1]
        packed = commits.put_file(shard, scratch, "tar", len(rows), revision)
        self.moved[tar.path] = {image: (packed.path, offset) for image, offset in found.items()}
        return packed

    # --- tables ---

    def find_texts(self) -> None:
        """Finds the texts that only removed images have. The nodes that parse texts have a row for each text."""
        gone, kept = set[str](), set[str]()
        for path in dict.fromkeys(f.path for c in self.commits for f in c.record.files.values()):
            if path.endswith(".tar") or path in self.changed.files:
                continue
            table = read_table(self.storage, path)
            if {"image_id", "texts"} <= set(table.column_names) and _has_text_keys(table):
                removed = pc.is_in(table["image_id"], value_set=self.ids)
                gone |= _text_keys(table.filter(removed))
                kept |= _text_keys(table.filter(pc.invert(removed)))
        self.texts = pa.array(sorted(gone - kept), pa.string())

    def without(self, path: str, table: pa.Table) -> pa.Table:
        """The table without the removed images and without texts that only they have."""
        names = set(table.column_names)
        if "image_id" in names:
            table = without_rows(table, "image_id", self.ids)
            return self._relocated(table) if {"uri", "offset"} <= names and self.moved else table
        return without_rows(table, "text_key", self.texts) if "text_key" in names else table

    def _relocated(self, table: pa.Table) -> pa.Table:
        """The table with the new places of the images in packed tars."""
        uris, offsets, ids = (table[name].to_pylist() for name in ("uri", "offset", "image_id"))
        if not any(uri in self.moved for uri in uris):
            return table
        for row, (uri, image) in enumerate(zip(uris, ids, strict=True)):
            if uri in self.moved:
                uris[row], offsets[row] = self.moved[uri][image]
        for name, values in (("uri", uris), ("offset", offsets)):
            number = table.schema.get_field_index(name)
            table = table.set_column(number, table.schema.field(name), pa.array(values, table.schema.field(name).type))
        return table

    # --- records ---

    def counted(self, changed: Changed, old: Record, new: Record) -> Record:
        """The new record with counts of the rows that are left.

        Sums over a shard that a round made (`agreement`, `called`) stay: they are what its decision was made from.
        """
        if "data" not in old.files or changed.now(old.files["data"]) == old.files["data"]:
            return new
        before = read_table(self.storage, old.files["data"].path)
        after = read_table(self.storage, new.files["data"].path)
        counts = dict(old.counts or {})  # records of older versions may have null
        if "selected" in counts:
            counts |= self._selection(before, counts)
        if isinstance(counts.get("pairs"), int):
            counts["pairs"] = after.num_rows
        if isinstance(counts.get("images"), dict):  # verdicts
            judged = read_table(self.storage, new.files["verdicts"].path) if "verdicts" in new.files else after
            counts |= verdict_counts(judged)
            if "released" in counts:
                counts["released"] = {"images": number_released(judged, self._images_left()["split"])}
        return replace(new, failures=max(0, old.failures - _failures(before) + _failures(after)), counts=counts)

    def _selection(self, before: pa.Table, counts: Mapping[str, Any]) -> dict[str, object]:
        """The counts about the images that the node's `where` selected, without the removed ones."""
        mask = selection_of(counts, before.num_rows)
        undecided = ~mask & (pc.list_value_length(before["failures"]).to_numpy() > 0)
        stays = pc.invert(pc.is_in(before["image_id"], value_set=self.ids)).to_numpy()
        skipped = int((~mask).sum()) - int(counts["not_selected"])
        removed = int((undecided & ~stays).sum()) if skipped else 0
        return selection_counts(np.asarray(mask[stays], np.bool_), skipped - removed)

    def _images_left(self) -> pa.Table:
        latest = [commit.record for commit in self.commits if commit.folder == IMAGES][-1]
        return self.without("", read_table(self.storage, latest.files["data"].path))


def without_rows(table: pa.Table, column: str, values: pa.Array) -> pa.Table:
    """The table without the rows whose `column` is one of `values`; the same object if there are none."""
    found = pc.is_in(table[column], value_set=values)
    return table.filter(pc.invert(found)) if pc.any(found).as_py() else table


def _has_text_keys(table: pa.Table) -> bool:
    kind = table.schema.field("texts").type.value_type
    return bool(pa.types.is_struct(kind) and kind.get_field_index("text_key") >= 0)


def _text_keys(table: pa.Table) -> set[str]:
    values = [pc.list_flatten(chunk) for chunk in table["texts"].chunks]
    return {key for chunk in values for key in chunk.field("text_key").to_pylist()}


def _failures(table: pa.Table) -> int:
    """The number of rows with failures; 0 if the table has no such column."""
    if "failures" not in table.column_names:
        return 0
    return int(pc.sum(pc.greater(pc.list_value_length(table["failures"]), 0)).as_py() or 0)
