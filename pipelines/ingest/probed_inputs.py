"""Reads probed inputs by image, to merge an image in a shard again after its sources changed.

Only names and positions are held in memory. Rows with their labels are read when they are needed.
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Collection, Iterator, Sequence, Set

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from engine.storage.commits import Commits, TableReader
from engine.storage.listings import IN_SOURCE, Key, Listing
from pipelines.ingest.labelled_image import Input
from pipelines.ingest.rows import ProbedRow

_NAMES = ("source", "uri", "fingerprint", "image_id")
_TABLES = 4  # probed chunks in memory

Position = tuple[int, int]  # chunk and row


class ProbedInputs:
    """The probed inputs of all chunks, at the latest revision of each chunk."""

    def __init__(self, probed: Commits, revisions: npt.NDArray[np.int32], listing: Listing) -> None:
        self.probed, self.revisions, self.listing = probed, revisions, listing
        self._tables: OrderedDict[int, pa.Table] = OrderedDict()
        self._found: dict[str, list[tuple[Position, Position]]] = {}  # by image: (first input of its file, input)
        self._now: dict[tuple[str, str], set[str]] = {}

    def rows(self, chunks: Sequence[int], columns: Sequence[str] | None = None) -> Iterator[ProbedRow]:
        """Yields the inputs of these chunks that are images. Holds one chunk in memory at a time."""
        for chunk in chunks:
            for row in self._reader(chunk, columns).read().to_pylist():
                if not row["failures"]:
                    yield row

    def images_of(self, keys: Collection[Key]) -> dict[Key, tuple[Position, str]]:
        """The position and image id of each of these inputs. The id is '' if the input is not an image."""
        names = self._names("uri", {uri for _, uri, _ in keys})
        return {key: (position, image) for position, key, image in names if key in keys}

    def images_and_uris(self) -> Iterator[tuple[str, str]]:
        """Yields (image id, URI) of every input. The id is '' if the input is not an image."""
        for chunk in range(len(self.revisions)):
            table = self._reader(chunk, ("image_id", "uri")).read()
            yield from zip(table["image_id"].to_pylist(), table["uri"].to_pylist(), strict=True)

    def at(self, position: Position) -> ProbedRow:
        chunk, row = position
        if chunk not in self._tables:
            self._tables[chunk] = self._reader(chunk).read()
            if len(self._tables) > _TABLES:
                self._tables.popitem(last=False)
        self._tables.move_to_end(chunk)
        answer: ProbedRow = self._tables[chunk].slice(row, 1).to_pylist()[0]
        return answer

    def find(self, images: Collection[str], files: Set[tuple[str, str]]) -> None:
        """Prepares `of` and `now`: finds the inputs of these images, and the images in their files and in `files`.

        Forgets what it found before. Memory grows with the number of images and files.
        """
        found = list(self._names("image_id", images))
        files = files | {key[:2] for _, key, _ in found}
        first: dict[tuple[str, str], Position] = {}
        self._now = defaultdict(set)
        for position, key, image in self._names("uri", {uri for _, uri in files}):
            if key[:2] in files:
                first.setdefault(key[:2], position)
                if self.listing.state(key) in IN_SOURCE:
                    self._now[key[:2]].add(image)
        self._found = {}
        for position, key, image in found:
            self._found.setdefault(image, []).append((first[key[:2]], position))

    def of(self, image: str) -> list[Input]:
        """The inputs that contain this image, in the order in which their files were first listed.

        Call `find` first.
        """
        rows = (self.at(position) for _, position in sorted(self._found.get(image, ())))
        return [self.input(row) for row in rows]

    def input(self, row: ProbedRow) -> Input:
        return Input(row, self.listing.state(key_of(row)), row["source"] in self.listing.looked_at)

    def now(self, source: str, uri: str) -> set[str]:
        """Ids of the images that this file contains now. The id is '' for an input that is not an image.

        Call `find` first.
        """
        return self._now.get((source, uri), set())

    def _names(self, column: str, values: Collection[str]) -> Iterator[tuple[Position, Key, str]]:
        """Yields (position, key, image id) of each input with one of these values in this column."""
        wanted = pa.array(values, pa.string())
        for chunk in range(len(self.revisions)) if values else ():
            table = self._reader(chunk, _NAMES).read()
            rows = np.flatnonzero(pc.is_in(table[column], wanted).to_numpy())
            columns = (one.to_pylist() for one in table.take(pa.array(rows)).select(_NAMES))
            for row, source, uri, fingerprint, image in zip(rows.tolist(), *columns, strict=True):
                yield (chunk, row), (source, uri, fingerprint), image

    def _reader(self, chunk: int, columns: Sequence[str] | None = None) -> TableReader:
        record = self.probed.record(chunk, int(self.revisions[chunk]))
        return TableReader(self.probed.storage, record.files["data"].path, columns)


def key_of(row: ProbedRow) -> Key:
    return row["source"], row["uri"], row["fingerprint"]
