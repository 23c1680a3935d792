"""The interface of a release format: `Format` names its files, makes a `Writer` for each shard, and names its verifier.

There are two kinds. A format of the first kind has one file in the release for each shard, such as a tar. A format of
the second kind has files for the whole release, such as one JSON for all images. Its writer writes a part for each
shard, which is not in the release, and `merge` makes the files from all parts.

A writer gets one sample after the other and writes to an open file. It never keeps the bytes of an image, so that only
one image is in memory at a time. The same samples must give the same bytes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Protocol

import pyarrow as pa

from engine.images.decode import EXTENSIONS
from engine.layout import LOOSE_IMAGES
from engine.reading.release_manifest import Manifest
from engine.schema import ANNOTATIONS, IMAGES, RECORD
from model.pairs.pair import Pair
from pipelines.release_options import ResizeOptions

IMAGE_COLUMNS = ("image_id", "width", "height", "format", "licence", "split", "sources")

# What a release holds for each image: the columns of the image, then its kept annotations. `split` is that of the
# release: train, valid or test.
SAMPLE = pa.schema([*(IMAGES.field(name) for name in IMAGE_COLUMNS), *(RECORD.field(name) for name in ANNOTATIONS)])


def _no_loose_files(name: str, data: bytes) -> None:
    raise ValueError(f"'{name}' cannot be written: this shard takes no loose files")


@dataclass(frozen=True, slots=True)
class Shard:
    """One shard of a release: rows of images (schema SAMPLE) that are in the same split.

    A row is not written if its image cannot be read. `number`: of the shard in its split. `embeddings`: {node: column
    of vectors}, for the nodes in emit.embeddings. Row i belongs to row i of `rows`. It is null if the image has no
    vector. `labels`: emit.label_list. `resize`: emit.qwen2_5_vl. `yolo_polygons`: emit.yolo_polygons. `put`: adds a
    loose file to the release, given its name and its bytes.
    """

    rows: pa.Table
    split: str = "train"
    number: int = 0
    embeddings: Mapping[str, pa.ChunkedArray] = field(default_factory=dict)
    labels: Sequence[str] = ()
    resize: ResizeOptions = field(default_factory=ResizeOptions)
    yolo_polygons: bool = False
    put: Callable[[str, bytes], None] = _no_loose_files

    @property
    def name(self) -> str:
        return f"{self.split}-{self.number:05d}"


@dataclass(slots=True)
class Sample:
    """One image of a shard. `uri`, `offset` and `length` are the place of its bytes in the release.

    That is the tar or, in a release without tars, the loose image.
    """

    number: int  # the sample's row in the shard
    row: Mapping[str, Any]  # a row of SAMPLE
    data: bytes  # of the original file
    pairs: Sequence[Pair]
    uri: str = ""
    offset: int = -1
    length: int = -1

    @property
    def file_name(self) -> str:
        """The name of the image as a file of its own: its id, and the extension of its format."""
        return f"{self.row['image_id']}.{EXTENSIONS[self.row['format']]}"

    @property
    def image_path(self) -> str:
        """The path of the image as a file of its own, below the folder of the release."""
        return f"{LOOSE_IMAGES}/{self.row['split']}/{self.file_name}"


class Writer(Protocol):
    """Writes the file of one shard. It may have `left_out`, which counts annotations that it left out, by reason."""

    def add(self, sample: Sample) -> None: ...

    def finish(self) -> int:
        """Writes what is left and returns the number of rows. If there are no rows, the file may stay empty."""
        ...


class ReleaseFile(Protocol):
    """A file of the release that is being written. `rows`: the number of rows it has, to be set before its end."""

    rows: int

    def write(self, data: bytes) -> object: ...


class Merge(Protocol):
    """What `Format.merge` reads and writes.

    `splits`: those of the release that have images, in the order train, valid, test. `labels`: emit.label_list.
    `name`: of the release. `left_out`: counts annotations that the merge leaves out, by reason.
    """

    @property
    def splits(self) -> Sequence[str]: ...

    @property
    def labels(self) -> Sequence[str]: ...

    @property
    def name(self) -> str: ...

    @property
    def left_out(self) -> Counter[str]: ...

    def lines(self, split: str) -> Iterator[bytes]:
        """The lines of all parts of a split, in the order of the images, without their line feeds."""
        ...

    def file(self, name: str) -> AbstractContextManager[ReleaseFile]:
        """Opens a new file of the release. `name`: its path below the folder of the release."""
        ...


@dataclass(frozen=True, slots=True)
class Format:
    """A format of a release. Its name is its key in `FORMATS`, which is what a recipe writes in emit.formats.

    `suffix`, `stem`: the file of a shard is "<stem><split>-<5 digits>.<suffix>". Formats with a `merge` have neither.
    `merge` runs after every shard is written, and makes the files that cover all shards. `files`: how the names of
    these files begin. `loose_images`: whether its files refer to the images as files of their own, which are then
    written too. `needs`: the formats whose files its own refer to, which are then written too. `needs_labels`: whether
    a recipe must have emit.label_list. `verifier`: "module:Name" of the `Verifier` (verifiers/check.py) that reads the
    files for `engine verify`. `card`: makes the section of the data card about these files, with its heading; '' for no
    section.
    """

    writer: Callable[[BinaryIO, Shard], Writer]
    suffix: str = ""
    stem: str = ""
    merge: Callable[[Merge], None] | None = None
    files: tuple[str, ...] = ()
    loose_images: bool = False
    needs: tuple[str, ...] = ()
    needs_labels: bool = False
    verifier: str = ""
    card: Callable[[Manifest], str] | None = None

    def file_name(self, shard: Shard) -> str:
        """The name of the file of a shard; '' if the file is only a part for `merge`."""
        return f"{self.stem}{shard.name}.{self.suffix}" if self.suffix else ""
