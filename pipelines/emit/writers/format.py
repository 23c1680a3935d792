"""What a release format provides: a `Format` names its files, makes a `Writer` for each shard, and names its verifier.

A writer is given one sample after the other and writes to an open file; it never keeps the bytes of an image, so that
one image is in memory at a time. The same samples must give the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, Protocol

import pyarrow as pa

from engine.reading.release_manifest import Manifest
from engine.schema import ANNOTATIONS, IMAGES, RECORD
from engine.storage.commits import File
from engine.storage.files import Storage
from model.pairs.pair import Pair

IMAGE_COLUMNS = ("image_id", "width", "height", "format", "licence", "split", "sources")

# What a release holds of an image: the columns of the image, then its kept annotations.
SAMPLE = pa.schema([*(IMAGES.field(name) for name in IMAGE_COLUMNS), *(RECORD.field(name) for name in ANNOTATIONS)])


@dataclass(frozen=True, slots=True)
class Shard:
    """The rows of a shard (SAMPLE), and the name of its tar. A sample is left out if its bytes cannot be read."""

    rows: pa.Table
    tar_name: str


@dataclass(slots=True)
class Sample:
    """One image of a shard. The writer of the tar sets `offset` and `length`, the place of the bytes in the tar."""

    number: int  # of its row in the shard
    row: Mapping[str, Any]  # a row of SAMPLE
    data: bytes  # of the original file
    pairs: Sequence[Pair]
    offset: int = -1
    length: int = -1


class Writer(Protocol):
    """Writes the file of one shard."""

    def add(self, sample: Sample) -> None: ...

    def finish(self) -> int:
        """Write what is left and return the number of rows. A writer without rows may leave its file empty."""
        ...


@dataclass(frozen=True, slots=True)
class Format:
    """Files "<prefix><5 digits>.<suffix>", one for each shard.

    `finish` makes files over all shards, such as a list of all classes, after every shard is written. It takes the
    storage, the folder of the release and the files written so far, and returns the files that it added.

    `verifier`: "module:Name" of the `Verifier` (verifiers/check.py) that reads the files again for `engine verify`.
    `card`: makes the section of the data card about these files, with its heading.
    """

    prefix: str
    suffix: str
    writer: Callable[[BinaryIO, Shard], Writer]
    finish: Callable[[Storage, str, Sequence[File]], list[File]] | None = None
    verifier: str = ""
    card: Callable[[Manifest], str] | None = None

    def file_name(self, number: int) -> str:
        return f"{self.prefix}{number:05d}.{self.suffix}"
