"""The interface of a release format: `Format` names its files, makes a `Writer` for each shard, and names its verifier.

A writer gets one sample after the other and writes to an open file. It never keeps the bytes of an image, so that only
one image is in memory at a time. The same samples must give the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Protocol

import pyarrow as pa

from engine.reading.release_manifest import Manifest
from engine.schema import ANNOTATIONS, IMAGES, RECORD
from engine.storage.commits import File
from engine.storage.files import Storage
from model.pairs.pair import Pair

IMAGE_COLUMNS = ("image_id", "width", "height", "format", "licence", "split", "sources")

# What a release holds for each image: the columns of the image, then its kept annotations.
SAMPLE = pa.schema([*(IMAGES.field(name) for name in IMAGE_COLUMNS), *(RECORD.field(name) for name in ANNOTATIONS)])


@dataclass(frozen=True, slots=True)
class Shard:
    """The rows of a shard (schema SAMPLE), and the name of its tar.

    A row is not written if its image cannot be read.

    `embeddings`: {node: column of vectors}, for the nodes in emit.embeddings. Row i belongs to row i of `rows`. It is
    null if the image has no vector.
    """

    rows: pa.Table
    tar_name: str
    embeddings: Mapping[str, pa.ChunkedArray] = field(default_factory=dict)


@dataclass(slots=True)
class Sample:
    """One image of a shard. `offset` and `length` are the place of its bytes in the tar; the tar's writer sets them."""

    number: int  # the sample's row in the shard
    row: Mapping[str, Any]  # a row of SAMPLE
    data: bytes  # of the original file
    pairs: Sequence[Pair]
    offset: int = -1
    length: int = -1


class Writer(Protocol):
    """Writes the file of one shard."""

    def add(self, sample: Sample) -> None: ...

    def finish(self) -> int:
        """Writes what is left and returns the number of rows. If there are no rows, the file may stay empty."""
        ...


@dataclass(frozen=True, slots=True)
class Format:
    """A format has one file "<prefix><5 digits>.<suffix>" for each shard.

    `finish` runs after every shard is written, and makes files that cover all shards, such as a list of all classes. It
    takes the storage, the folder of the release and the files written so far, and returns the files that it added.
    `verifier`: "module:Name" of the `Verifier` (verifiers/check.py) that reads the files for `engine verify`. `card`:
    makes the section of the data card about these files, with its heading; '' if the release has no such files.
    """

    prefix: str
    suffix: str
    writer: Callable[[BinaryIO, Shard], Writer]
    finish: Callable[[Storage, str, Sequence[File]], list[File]] | None = None
    verifier: str = ""
    card: Callable[[Manifest], str] | None = None

    def file_name(self, number: int) -> str:
        return f"{self.prefix}{number:05d}.{self.suffix}"
