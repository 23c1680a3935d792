"""Reads everything that a removal will rewrite, before it changes anything.

Damage that came to light in the middle would leave a data set that nothing reads until it is restored.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from engine.layout import SPLITS, SURVEYED
from engine.storage.commits import File
from engine.storage.files import Storage
from engine.storage.sealed import damaged
from pipelines.removal.find import Found
from pipelines.removal.ingested import input_folders, listing_folders
from pipelines.removal.shards import image_folders
from pipelines.removal.transaction import commits_in, names_by_shard, read_table


def require_readable(storage: Storage, found: Found) -> None:
    """Raises DamageError if a file that has to be rewritten is gone or was changed."""
    surveyed = [f"{SURVEYED}/{key}" for key in storage.names(SURVEYED)]
    seen = set[str]()
    for file in (
        *_files(storage, image_folders(storage), found.shards),
        *_files(storage, input_folders(storage), found.chunks),
        *_files(storage, [*listing_folders(storage), SPLITS, *surveyed], None),
    ):
        if file.path not in seen:
            seen.add(file.path)
            _require(storage, file)


def _files(storage: Storage, folders: Collection[str], shards: Collection[int] | None) -> Iterator[File]:
    for named in names_by_shard(storage, folders, shards).values():
        for commit in commits_in(storage, named):
            yield from commit.record.files.values()


def _require(storage: Storage, file: File) -> None:
    if not file.path.endswith(".tar"):
        read_table(storage, file.path, file.sha256)
        return
    try:
        digest = storage.sha256(file.path)
    except FileNotFoundError:
        digest = ""
    if digest != file.sha256:
        raise damaged(storage, file.path)
