"""The shard of each image, in about 30 bytes an image. An id has 128 bits, which are the key of NumberedKeys."""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Sequence

from pipelines.ingest.numbered_keys import NumberedKeys

_HALVES = struct.Struct(">2q")


class ShardOfImage:
    """{image id: shard}, for the images of committed shards."""

    def __init__(self) -> None:
        self._ids = NumberedKeys()
        self._shards: list[int] = []
        self._starts: list[int] = []  # the number of the first image of each of these shards

    def add(self, shard: int, images: Sequence[str]) -> None:
        self._shards.append(shard)
        self._starts.append(len(self._ids))
        halves = struct.unpack(f">{2 * len(images)}q", bytes.fromhex("".join(images)))
        self._ids.extend(halves[::2], halves[1::2])

    def __contains__(self, image: str) -> bool:
        return self._number(image) >= 0

    def __getitem__(self, image: str) -> int:
        return self._shards[bisect_right(self._starts, self._number(image)) - 1]

    def _number(self, image: str) -> int:
        return self._ids.find(*_HALVES.unpack(bytes.fromhex(image)))
