"""The order of pairs in training. It is a function of (seed, epoch, position), so a killed run continues where it
stopped.

Tasks are mixed by temperature: a task with n pairs gets a share in proportion to n ** temperature. With 1, shares are
proportional to n; with 0, they are equal. The order is never stored, which would not be possible for billions of pairs.
Each position of the permutation is computed when it is needed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.errors import ConfigError

Positions = npt.NDArray[np.int64]

_ROUNDS = 6
_WORD = 0xFFFFFFFFFFFFFFFF
_MIX = (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB)


def mixed(values: npt.NDArray[np.uint64], key: int) -> npt.NDArray[np.uint64]:
    """64 pseudo-random bits for each value, by splitmix64."""
    with np.errstate(over="ignore"):
        mixed = values * np.uint64(_MIX[0]) + np.uint64(key & _WORD)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(_MIX[1])
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(_MIX[2])
    answer: npt.NDArray[np.uint64] = mixed ^ (mixed >> np.uint64(31))
    return answer


def key_of(*parts: int) -> int:
    """One key from several numbers. It depends on their values and their order. Uses splitmix64 on Python integers."""
    key = 0
    for part in parts:
        key = ((key ^ part) * _MIX[0] + len(parts)) & _WORD
        key = ((key ^ (key >> 30)) * _MIX[1]) & _WORD
        key = ((key ^ (key >> 27)) * _MIX[2]) & _WORD
        key ^= key >> 31
    return key


def shuffled(positions: Positions, size: int, key: int) -> Positions:
    """Permutes positions of [0, size) by `key`, without storing the order. The method is a Feistel network with cycle
    walking.
    """
    half = max(1, -(-max(size - 1, 1).bit_length() // 2))
    low = np.uint64((1 << half) - 1)
    values = positions.astype(np.uint64)
    outside = np.ones(len(values), np.bool_)
    while outside.any():
        left, right = values[outside] >> np.uint64(half), values[outside] & low
        for turn in range(_ROUNDS):
            left, right = right, left ^ (mixed(right, key_of(key, turn)) & low)
        values[outside] = (left << np.uint64(half)) | right
        outside = values >= size
    return values.astype(np.int64)


class Schedule:
    """The order of pairs. `counts`: number of pairs of each task, in a fixed order. An epoch has as many draws as there
    are pairs.
    """

    def __init__(self, counts: Mapping[str, int], *, temperature: float = 1.0, seed: int = 0) -> None:
        self.counts = {task: count for task, count in counts.items() if count > 0}
        if not self.counts:
            raise ConfigError(
                "There is nothing to train on: there are no pairs of any of the tasks that fit the network."
            )
        self.tasks = list(self.counts)
        self.sizes = np.array(list(self.counts.values()), np.int64)
        self.seed = seed
        self.draws = _apportioned(int(self.sizes.sum()), self.sizes.astype(np.float64) ** temperature)
        self._ends = np.cumsum(self.draws)

    def __len__(self) -> int:
        """The number of draws in one epoch."""
        return int(self._ends[-1])

    def at(self, positions: Positions) -> tuple[Positions, Positions]:
        """(index of the task, row among its pairs) at each position. Positions count from the start of the
        first epoch.
        """
        tasks, rows = np.empty(len(positions), np.int64), np.empty(len(positions), np.int64)
        epochs = positions // len(self)
        for epoch in np.unique(epochs).tolist():
            here = epochs == epoch
            slots = shuffled(positions[here] - epoch * len(self), len(self), key_of(self.seed, epoch))
            task = np.searchsorted(self._ends, slots, side="right")
            draw = epoch * self.draws[task] + slots - (self._ends - self.draws)[task]
            tasks[here], rows[here] = task, self._rows(task, draw)
        return tasks, rows

    def _rows(self, task: Positions, draw: Positions) -> Positions:
        """The rows of a task for these draws. Every pair is drawn once, then every pair again in a new order."""
        rows = np.empty(len(task), np.int64)
        rounds = draw // self.sizes[task]
        for number, turn in {(int(number), int(turn)) for number, turn in zip(task, rounds, strict=True)}:
            here = (task == number) & (rounds == turn)
            size = int(self.sizes[number])
            rows[here] = shuffled(draw[here] - turn * size, size, key_of(self.seed, number + 1, turn))
        return rows


def _apportioned(total: int, weights: npt.NDArray[Any]) -> Positions:
    """Integers that sum to `total` and are as proportional to the weights as possible. Each is at least 1."""
    exact = weights / weights.sum() * total
    whole: Positions = np.maximum(np.floor(exact).astype(np.int64), 1)
    for number in np.argsort(whole - exact)[: max(total - int(whole.sum()), 0)]:
        whole[number] += 1
    return whole
