"""A set of keys that is small in memory: 24 to 32 bytes a key, where a dict of strings needs 200 to 450.

A key is a pair of 64-bit hashes, so two different things have the same key with a probability of 2^-128.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterator, Sequence

import numpy as np

_PIECE = 65_536  # keys that are placed at a time, which limits the memory for it


_HALVES = struct.Struct(">2q")


class NumberedKeys:
    """Keys, numbered in the order in which they were added. Add a key only once; `find` gives its first number.

    It is a hash table with open addressing. The place of a key depends on its first half, so all keys with the same
    first half are found together.
    """

    def __init__(self) -> None:
        self._first, self._second = array("q"), array("q")
        self._set_slots(1024)

    def _set_slots(self, size: int) -> None:
        self._slots, self._mask = array("I", [0]) * size, size - 1  # the number of a key + 1; 0 in a free slot

    def __len__(self) -> int:
        return len(self._first)

    def find(self, first: int, second: int) -> int:
        """The number of this key, or -1."""
        slots, mask = self._slots, self._mask
        slot = first & mask
        while number := slots[slot]:
            if self._first[number - 1] == first and self._second[number - 1] == second:
                return number - 1
            slot = slot + 1 & mask
        return -1

    def with_first(self, first: int) -> list[int]:
        """The numbers of all keys with this first half, in order."""
        return sorted(number for number in self._chain(first) if self._first[number] == first)

    def _chain(self, first: int) -> Iterator[int]:
        slot = first & self._mask
        while number := self._slots[slot]:
            yield number - 1
            slot = slot + 1 & self._mask

    def add(self, first: int, second: int) -> int:
        """Adds a new key and returns its number."""
        self._first.append(first)
        self._second.append(second)
        number = len(self._first)
        if 2 * number > len(self._slots):
            self._grow()
        else:
            slots, mask = self._slots, self._mask
            slot = first & mask
            while slots[slot]:
                slot = slot + 1 & mask
            slots[slot] = number
        return number - 1

    def extend(self, first: Sequence[int], second: Sequence[int]) -> None:
        """Adds many new keys."""
        start = len(self._first)
        self._first.extend(first)
        self._second.extend(second)
        if 2 * len(self._first) > len(self._slots):
            self._grow()
        else:
            self._place(start)

    def _grow(self) -> None:
        size = len(self._slots)
        while 2 * len(self._first) > size:
            size *= 2
        self._set_slots(size)
        for start in range(0, len(self._first), _PIECE):
            self._place(start, start + _PIECE)

    def _place(self, start: int, stop: int | None = None) -> None:
        """Gives each of these keys the next free slot from its own on. All keys look at one slot in each turn."""
        slot = np.frombuffer(self._first, np.int64)[start:stop] & self._mask
        table = np.frombuffer(self._slots, np.uint32)
        numbers = np.arange(start + 1, start + 1 + len(slot), dtype=np.uint32)
        while len(numbers):
            free = table[slot] == 0
            table[slot[free][::-1]] = numbers[free][::-1]  # of several keys for one slot, the first one gets it
            left = table[slot] != numbers
            numbers, slot = numbers[left], (slot[left] + 1) & self._mask


class ImageIds:
    """Image ids, numbered in the order in which they were added. An id has 128 bits, which are its key."""

    def __init__(self) -> None:
        self._keys = NumberedKeys()

    def __len__(self) -> int:
        return len(self._keys)

    def extend(self, images: Sequence[str]) -> None:
        halves = struct.unpack(f">{2 * len(images)}q", bytes.fromhex("".join(images)))
        self._keys.extend(halves[::2], halves[1::2])

    def find(self, image: str) -> int:
        """The number of this image, or -1, also for ''."""
        return self._keys.find(*_HALVES.unpack(bytes.fromhex(image))) if image else -1
