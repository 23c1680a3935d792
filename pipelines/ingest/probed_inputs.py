"""Probed inputs by image: what is needed to say again what the sources say of an image that has its place.

Only names are held, of the images that are asked for; rows with their labels are read shard by shard.
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence, Set
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from engine.storage.commits import Commits, TableReader
from engine.storage.listings import HELD, Key, Listing
from pipelines.ingest.placed_image import Input

_NAMES = ("source", "uri", "fingerprint", "image_id")
_TABLES = 4  # probed chunks in memory

Place = tuple[int, int]  # chunk and row


class ProbedInputs:
    """The probed inputs of all chunks at their latest revisions."""

    def __init__(self, probed: Commits, revisions: npt.NDArray[np.int32], listing: Listing) -> None:
        self.probed, self.revisions, self.listing = probed, revisions, listing
        self._tables: OrderedDict[int, pa.Table] = OrderedDict()
        self._places: dict[str, list[tuple[Place, Place]]] = {}  # by image: where its (source, uri) came first, where
        self._now: dict[tuple[str, str], set[str]] = {}

    def rows(self, chunks: Sequence[int], columns: Sequence[str] | None = None) -> Iterator[dict[str, Any]]:
        """Of these chunks, those that are images, one chunk in memory at a time."""
        for chunk in chunks:
            for row in self._reader(chunk, columns).read().to_pylist():
                if not row["failures"]:
                    yield row

    def images_of(self, keys: Collection[Key]) -> dict[Key, tuple[Place, str]]:
        """Where these inputs stand, and the images they gave, '' for those that gave none."""
        if not keys:
            return {}
        return {key: (place, image) for place, key, image in self._names() if key in keys}

    def images_and_uris(self) -> Iterator[tuple[str, str]]:
        """Of every input; '' for one that is no image."""
        for _, (_, uri, _), image in self._names():
            yield image, uri

    def at(self, place: Place) -> dict[str, Any]:
        chunk, row = place
        if chunk not in self._tables:
            self._tables[chunk] = self._reader(chunk).read()
            if len(self._tables) > _TABLES:
                self._tables.popitem(last=False)
        self._tables.move_to_end(chunk)
        answer: dict[str, Any] = self._tables[chunk].slice(row, 1).to_pylist()[0]
        return answer

    def find(self, images: Collection[str], files: Set[tuple[str, str]]) -> None:
        """Look up where the inputs of these images stand, for `of`, and which images their and these files give now."""
        if not images and not files:
            return
        found = [(place, key, image) for place, key, image in self._names() if image in images]
        files = files | {key[:2] for _, key, _ in found}
        first: dict[tuple[str, str], Place] = {}
        self._now = defaultdict(set)
        for place, key, image in self._names():
            if key[:2] in files:
                first.setdefault(key[:2], place)
                if self.listing.state(key) in HELD:
                    self._now[key[:2]].add(image)
        self._places = {}
        for place, key, image in found:
            self._places.setdefault(image, []).append((first[key[:2]], place))

    def of(self, image: str) -> list[Input]:
        """The inputs that gave it, in the order in which their files were first listed."""
        rows = (self.at(place) for _, place in sorted(self._places.get(image, ())))
        return [self.input(row) for row in rows]

    def input(self, row: Mapping[str, Any]) -> Input:
        return Input(row, self.listing.state(key_of(row)), row["source"] in self.listing.looked_at)

    def now(self, source: str, uri: str) -> set[str]:
        """The images this file gives now, '' among them for an input that is none."""
        return self._now.get((source, uri), set())

    def _names(self) -> Iterator[tuple[Place, Key, str]]:
        for chunk in range(len(self.revisions)):
            table = self._reader(chunk, _NAMES).read()
            columns = (table[name].to_pylist() for name in _NAMES)
            for number, (source, uri, fingerprint, image) in enumerate(zip(*columns, strict=True)):
                yield (chunk, number), (source, uri, fingerprint), image

    def _reader(self, chunk: int, columns: Sequence[str] | None = None) -> TableReader:
        record = self.probed.record(chunk, int(self.revisions[chunk]))
        return TableReader(self.probed.storage, record.files["data"].path, columns)


def key_of(row: Mapping[str, Any]) -> Key:
    return row["source"], row["uri"], row["fingerprint"]
