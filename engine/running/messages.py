"""Messages between the scheduler and a worker: it receives units of work, and sends progress and results."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Unit:
    """Work for one worker: a shard of a node, or its items [lo, hi).

    The worker commits a whole shard itself and sends the rows of a part back.
    """

    node: str
    shard: int
    revision: int
    inputs: Mapping[str, int]  # node name (and IMAGES): revision to read
    lo: int = 0
    hi: int = -1  # -1: to the end
    trust: bool = False  # accept many failures as real
    fresh: bool = False  # only for a worker that has not run a unit yet
    attempts: int = 1
    retry_of: int = -1  # revision whose failed images are tried again; its other rows are kept
    give_up: bool = False  # an image whose source cannot be read counts as failed

    @property
    def whole(self) -> bool:
        return self.lo == 0 and self.hi < 0


@dataclass(slots=True)
class Progress:
    """Sent regularly while a unit runs. items: finished since the last message. total: set in the first message."""

    items: int
    total: int = -1


@dataclass(slots=True)
class Done:
    """A finished unit. `rows`: its rows as an Arrow stream, if it is a part of a shard; else empty.

    `attempted`: number of items given to the component; `unanswered`: number of those that failed.
    """

    items: int
    failed: int
    committed: bool = False
    rows: bytes = b""
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list)
    inputs: dict[str, str] = field(default_factory=dict)
    failures: list[tuple[str, str, str]] = field(default_factory=list)  # item, reason, error
    attempted: int = 0
    unanswered: int = 0
    counts: dict[str, object] = field(default_factory=dict)  # for the commit record; the same in all parts of a shard


@dataclass(slots=True)
class Suspect:
    """Too many items failed. `item`: the first of them, for another worker to try."""

    item: int
    failed: int
    reason: str


@dataclass(slots=True)
class Absent:
    """Sources of some images cannot be read now, so nothing of the unit is committed."""

    images: list[tuple[str, str, str]]  # image id, reason, error


Message = Progress | Done | Suspect | Absent
