"""Messages between the scheduler and a worker. The worker receives units of work, and sends progress and results."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Unit:
    """Work for one worker: a shard of a node, or only its items [lo, hi).

    The worker commits the rows of a whole shard itself. The rows of a part are sent back to the scheduler.
    """

    node: str
    shard: int
    revision: int
    inputs: Mapping[str, int]  # {node name, or IMAGES: revision to read}
    lo: int = 0
    hi: int = -1  # -1: to the end
    trust: bool = False  # accept many failures as real
    fresh: bool = False  # only a worker that has not run a unit yet may run it
    attempts: int = 1
    retry_of: int = -1  # the revision whose failed images are tried again; its other rows are kept
    give_up: bool = False  # an image whose source cannot be read counts as failed
    following: Unit | None = field(default=None, compare=False)  # probably the worker's next unit

    @property
    def whole(self) -> bool:
        return self.lo == 0 and self.hi < 0


@dataclass(slots=True)
class Progress:
    """Sent regularly while a unit runs.

    items: number of items finished since the last message. total: number of items in the unit, only in the first
    message.
    """

    items: int
    total: int = -1


@dataclass(slots=True)
class Done:
    """A finished unit.

    `rows`: for a part of a shard, its rows as an Arrow stream; otherwise empty. `attempted`: number of items given to
    the component. `unanswered`: number of these that failed.
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
    """A unit in which too many items failed, so that the worker may be at fault.

    `item`: the position of the first of them, which another worker tries.
    """

    item: int
    failed: int
    reason: str


@dataclass(slots=True)
class Absent:
    """A unit of which nothing is committed, because some of its images cannot be read now."""

    images: list[tuple[str, str, str]]  # image id, reason, error


Message = Progress | Done | Suspect | Absent
