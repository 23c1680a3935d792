"""Tombstones: which images were removed from a data set for good, without naming them.

A removal (pipelines/removal) leaves a file `removed/tombstone-00000.json`. It holds hashes: of the removed image ids,
and of every name under which a person or a source may give these images. So ingest can recognise a removed image, but
the file does not name it. While a removal is going on, or after it was killed, there is also
`removed/removing-00000.json`, which holds the ids themselves. The removal deletes it at its end.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from engine.errors import ConfigError, DamageError
from engine.layout import REMOVED
from engine.storage.files import Storage
from engine.storage.sealed import read_sealed

REASON = "removed"  # the reason of an input that is no image because it was removed
ERROR = "it was removed from this data set with 'engine remove'"
PLACEHOLDER = "removed:"  # how the URI of a removed input begins in inputs/, probe/ and listings/
TOMBSTONE, REMOVING = "tombstone-", "removing-"
_RESTORE = "restore it from a backup: without it, ingest takes in removed images again."


@dataclass(frozen=True, slots=True)
class Removed:
    """What all tombstones of a data set hold. images, names: hashes (`hashed`) of image ids, and of ids and URIs."""

    images: frozenset[str] = frozenset()
    names: frozenset[str] = frozenset()

    def has_image(self, image_id: str) -> bool:
        return bool(self.images) and hashed(image_id) in self.images

    def has_name(self, name: str) -> bool:
        return bool(self.names) and hashed(name) in self.names

    @property
    def key(self) -> str:
        """What a key contains of the removals: '' if there was none, so that other data sets keep their keys."""
        return hashed("\n".join(sorted(self.images))) if self.images else ""


def hashed(name: str) -> str:
    return hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()


def placeholder(source: str, uri: str) -> str:
    """What stands for the URI of a removed input. The same input always gets the same one."""
    return uri if uri.startswith(PLACEHOLDER) else PLACEHOLDER + hashed(f"{source}\n{uri}")[:32]


def read_removed(storage: Storage) -> Removed:
    """What was removed from this data set. Raises DamageError if a tombstone was changed."""
    images, names = set[str](), set[str]()
    for name in _named(storage, TOMBSTONE):
        found = read_sealed(storage, name, _RESTORE)
        if not isinstance(found.get("images"), list) or not isinstance(found.get("names"), list):
            raise DamageError(f"'{name}' lists no images and names: {_RESTORE}")
        images.update(found["images"])
        names.update(found["names"])
    return Removed(frozenset(images), frozenset(names))


def unfinished_removals(storage: Storage) -> list[str]:
    """The files of removals that are going on or were killed, oldest first."""
    return list(_named(storage, REMOVING))


def require_no_removal(storage: Storage) -> None:
    """Raises ConfigError if a removal has not ended, because some files then hold other rows than others."""
    if unfinished_removals(storage):
        raise ConfigError(
            f"A removal of images from '{storage.url}' has not ended: wait for it or, if it was killed, repeat its "
            "command or run 'engine run', which completes it first."
        )


def _named(storage: Storage, beginning: str) -> Iterator[str]:
    names: Iterable[str] = storage.names(REMOVED)
    return (f"{REMOVED}/{name}" for name in names if name.startswith(beginning))
