"""Makes the files of a release that cover all its shards, from the parts that the writers of the shards wrote."""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO

from engine.layout import RELEASE_SPLITS
from engine.storage.commits import File, Record
from engine.storage.files import Storage, sha256_file, storage_errors
from engine.storage.sealed import checked_bytes
from pipelines.emit.write_shard import remove
from pipelines.emit.writers import FORMATS


@dataclass(slots=True)
class OpenFile:
    """A file of the release that is being written."""

    stream: BinaryIO
    rows: int = 0

    def write(self, data: bytes) -> int:
        return self.stream.write(data)


@dataclass(slots=True)
class FormatMerge:
    """What the `merge` of one format reads and writes (see writers/format.py). `made`: the files it has written.

    `parts`: {split: the parts of its shards, in order}.
    """

    storage: Storage
    folder: str
    parts: Mapping[str, Sequence[File]]
    labels: Sequence[str] = ()
    made: list[File] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)

    @property
    def splits(self) -> Sequence[str]:
        return list(self.parts)

    @property
    def name(self) -> str:
        return self.folder.rpartition("/")[2]

    def lines(self, split: str) -> Iterator[bytes]:
        """The lines of all parts of a split. Raises DamageError if a part was changed."""
        for part in self.parts.get(split, ()):
            yield from checked_bytes(self.storage, part.path, part.sha256).rstrip(b"\n").split(b"\n")

    @contextlib.contextmanager
    def file(self, name: str) -> Iterator[OpenFile]:
        """A new file of the release. It replaces one that an abandoned attempt left."""
        target = f"{self.folder}/{name}"
        path = self.storage.scratch(target)
        try:
            with storage_errors(target), open(path, "wb") as stream:
                opened = OpenFile(stream)
                yield opened
            size, digest = os.path.getsize(path), sha256_file(path)
            self.storage.upload(path, target)
        except BaseException:
            remove([path])
            raise
        self.made.append(File(target, digest, opened.rows, size))


def merge_formats(
    storage: Storage, folder: str, chosen: Sequence[str], records: Sequence[Record], labels: Sequence[str]
) -> tuple[list[File], dict[str, Counter[str]]]:
    """Runs the `merge` of each chosen format that has one.

    `records`: the commit records of the release's shards. Returns the files, and {format: what it left out}.
    """
    files: list[File] = []
    left_out: dict[str, Counter[str]] = {}
    for name in chosen:
        if merge := FORMATS[name].merge:
            work = FormatMerge(storage, folder, _parts(name, records), labels)
            merge(work)
            files += work.made
            left_out[name] = work.left_out
    return files, left_out


def _parts(name: str, records: Sequence[Record]) -> dict[str, list[File]]:
    """{split: the parts of a format, in order}, for the splits that have images. A shard may have no part."""
    found: dict[str, list[File]] = {}
    for split in RELEASE_SPLITS:
        own = [record for record in records if f"splits.{split}" in record.counts]
        if own:
            found[split] = [record.files[name] for record in own if name in record.files]
    return found
