"""Which pair comes when: a function of (seed, epoch, position) alone, so a run that was killed goes on with the next.

Tasks are mixed by temperature: a task with n pairs gets a share of n ** temperature (1: as they are, 0: all alike).
Nothing is drawn into memory: an order of a billion is a permutation computed where it is asked for.
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
    """splitmix64 of each value: 64 bits that look random."""
    with np.errstate(over="ignore"):
        mixed = values * np.uint64(_MIX[0]) + np.uint64(key & _WORD)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(_MIX[1])
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(_MIX[2])
    answer: npt.NDArray[np.uint64] = mixed ^ (mixed >> np.uint64(31))
    return answer


def key_of(*parts: int) -> int:
    """One number of several, each order and value another: splitmix64 again, of plain numbers."""
    key = 0
    for part in parts:
        key = ((key ^ part) * _MIX[0] + len(parts)) & _WORD
        key = ((key ^ (key >> 30)) * _MIX[1]) & _WORD
        key = ((key ^ (key >> 27)) * _MIX[2]) & _WORD
        key ^= key >> 31
    return key


def shuffled(positions: Positions, size: int, key: int) -> Positions:
    """Where each position of [0, size) goes in the order that `key` names: a Feistel network, walked until inside."""
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
    """The order of pairs. `counts`: pairs of each task, in a fixed order. An epoch has as many draws."""

    def __init__(self, counts: Mapping[str, int], *, temperature: float = 1.0, seed: int = 0) -> None:
        self.counts = {task: count for task, count in counts.items() if count > 0}
        if not self.counts:
            raise ConfigError("There is nothing to train on: no pair of any task is left.")
        self.tasks = list(self.counts)
        self.sizes = np.array(list(self.counts.values()), np.int64)
        self.seed = seed
        self.draws = _shared_out(int(self.sizes.sum()), self.sizes.astype(np.float64) ** temperature)
        self._ends = np.cumsum(self.draws)

    def __len__(self) -> int:
        """Draws of one epoch."""
        return int(self._ends[-1])

    def at(self, positions: Positions) -> tuple[Positions, Positions]:
        """(number of the task, row among its pairs) for positions counted from the first draw of the first epoch."""
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
        """Every pair of a task once, in a new order each time round."""
        rows = np.empty(len(task), np.int64)
        rounds = draw // self.sizes[task]
        for number, turn in {(int(number), int(turn)) for number, turn in zip(task, rounds, strict=True)}:
            here = (task == number) & (rounds == turn)
            size = int(self.sizes[number])
            rows[here] = shuffled(draw[here] - turn * size, size, key_of(self.seed, number + 1, turn))
        return rows


def _shared_out(total: int, weights: npt.NDArray[Any]) -> Positions:
    """Whole numbers that sum to `total`, as near to the weights as whole numbers are; none of them 0."""
    exact = weights / weights.sum() * total
    whole: Positions = np.maximum(np.floor(exact).astype(np.int64), 1)
    for number in np.argsort(whole - exact)[: max(total - int(whole.sum()), 0)]:
        whole[number] += 1
    return whole
