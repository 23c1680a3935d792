"""A `Merge` over lines in memory, for tests of `Format.merge`."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field


class MemoryFile:
    def __init__(self) -> None:
        self.data, self.rows = b"", 0

    def write(self, data: bytes) -> None:
        self.data += data


@dataclass
class ListedMerge:
    """`parts`: {split: lines}. `written`: {name of a file: its bytes}. `rows`: {name of a file: its rows}."""

    parts: Mapping[str, Sequence[bytes]]
    labels: Sequence[str] = ()
    name: str = "v1"
    left_out: Counter[str] = field(default_factory=Counter)
    written: dict[str, bytes] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)

    @property
    def splits(self) -> Sequence[str]:
        return list(self.parts)

    def lines(self, split: str) -> Iterator[bytes]:
        yield from self.parts[split]

    @contextlib.contextmanager
    def file(self, name: str) -> Iterator[MemoryFile]:
        made = MemoryFile()
        yield made
        self.written[name], self.rows[name] = made.data, made.rows
