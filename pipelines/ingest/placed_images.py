"""Which images are in shards, in about 30 bytes an image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from pipelines.ingest.numbered_keys import ImageIds


class PlacedImages:
    """The images of all committed shards, each of which may be marked."""

    def __init__(self) -> None:
        self._ids = ImageIds()
        self._marks = bytearray()
        self._starts: dict[int, int] = {}  # by shard: the number of its first image

    def add(self, shard: int, images: Sequence[str]) -> None:
        """Adds the images of a shard, in the order of its rows."""
        self._starts[shard] = len(self._ids)
        self._ids.extend(images)
        self._marks += bytes(len(images))

    def mark(self, image: str) -> bool:
        """Marks an image. False if it is in no shard."""
        number = self._ids.find(image)
        if number >= 0:
            self._marks[number] = 1
        return number >= 0

    def mark_all(self) -> None:
        self._marks = bytearray(b"\1") * len(self._marks)

    def marked(self) -> Iterator[tuple[int, list[int]]]:
        """Yields (shard, rows of its marked images) for each shard that has any."""
        ends = [*self._starts.values(), len(self._marks)][1:]
        for (shard, start), end in zip(self._starts.items(), ends, strict=True):
            if rows := np.flatnonzero(np.frombuffer(self._marks[start:end], np.uint8)).tolist():
                yield shard, rows
