"""What a removal is going to do, written to `removed/` before it changes anything.

`removing-00000.json` holds everything that is needed to complete the removal after a crash, so it holds the ids and
pieces of the bytes of the images. It is deleted at the end. The tombstone stays (engine/storage/removals.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from engine.layout import REMOVED
from engine.storage.files import Storage
from engine.storage.listings import Key
from engine.storage.removals import REMOVING, TOMBSTONE, hashed
from engine.storage.sealed import read_sealed, seal
from pipelines.ingest.name_list import ends_of
from pipelines.removal.redact import Redactor


@dataclass(frozen=True, slots=True)
class Intention:
    """One removal.

    images: image ids. inputs: their rows in inputs/, and rows of inputs that are no readable image. uris: the URIs of
    both, except for those that other images have too. shards, chunks: the shards of images, and the chunks of inputs,
    that hold them. pieces: {image id: pieces of its bytes, in base64}, to search for at the end. unread: images whose
    bytes could not be read. releases: {release: its files that hold the images}. models: {model: how it saw the
    images}. delete_releases: whether these releases are deleted too. search: whether to search all files at the end.
    """

    number: int
    images: list[str]
    inputs: list[Key]
    uris: list[str]
    shards: list[int]
    chunks: list[int]
    pieces: dict[str, list[str]] = field(default_factory=dict)
    unread: list[str] = field(default_factory=list)
    releases: dict[str, list[str]] = field(default_factory=dict)
    models: dict[str, str] = field(default_factory=dict)
    delete_releases: bool = False
    search: bool = True

    @property
    def path(self) -> str:
        return f"{REMOVED}/{REMOVING}{self.number:05d}.json"

    def write(self, storage: Storage) -> None:
        storage.put(self.path, seal(asdict(self)))

    def write_tombstone(self, storage: Storage) -> None:
        """Writes the tombstone. It is written once, and a crash may come before or after it."""
        names = {end for uri in self.uris for end in ends_of(uri)} | set(self.images)
        content = {
            "images": sorted(map(hashed, self.images)),
            "names": sorted(map(hashed, names)),
            "inputs": len(self.inputs),
            "shards": self.shards,
            "releases": Redactor(self.images, self.uris).value(self.releases),  # files may be named by image ids
            "models": self.models,
        }
        storage.create(tombstone_path(self.number), seal(content))


def read_intention(storage: Storage, path: str) -> Intention:
    content: Mapping[str, Any] = read_sealed(storage, path)
    return Intention(**{**content, "inputs": [(key[0], key[1], key[2]) for key in content["inputs"]]})


def tombstone_path(number: int) -> str:
    return f"{REMOVED}/{TOMBSTONE}{number:05d}.json"


def next_number(storage: Storage) -> int:
    return 1 + max(_numbers(storage.names(REMOVED)), default=-1)


def _numbers(names: Iterable[str]) -> list[int]:
    return [int(name[len(TOMBSTONE) :].partition(".")[0]) for name in names if name.startswith(TOMBSTONE)]
