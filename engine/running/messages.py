"""What passes between the scheduler and a worker: a unit of work one way, signs of life and results the other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Unit:
    """Work for one worker: (node, shard), or the items [lo, hi) of it, whose rows come back by value."""

    node: str
    shard: int
    revision: int
    inputs: Mapping[str, int]  # node name (and IMAGES): revision to read
    lo: int = 0
    hi: int = -1  # -1: to the end
    trust: bool = False  # believe many failures
    fresh: bool = False  # for a worker that has done nothing yet
    attempts: int = 1
    retry_of: int = -1  # revision whose failed images alone are asked again
    give_up: bool = False  # images whose source cannot be read are failures

    @property
    def whole(self) -> bool:
        return self.lo == 0 and self.hi < 0


@dataclass(slots=True)
class Progress:
    """A sign of life: items finished since the last one, and, first of all, how many there are."""

    items: int
    total: int = -1


@dataclass(slots=True)
class Done:
    """A unit that came back. `rows` only for a part of a shard.

    `asked`: items that the component answers for; `refused`: those of them it failed on, whatever the reason.
    """

    items: int
    failed: int
    committed: bool = False
    rows: bytes = b""
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list)
    inputs: dict[str, str] = field(default_factory=dict)
    failures: list[tuple[str, str, str]] = field(default_factory=list)  # item, reason, error
    asked: int = 0
    refused: int = 0


@dataclass(slots=True)
class Suspect:
    """Too many failures: the first of a streak, so that another worker may try it before anything is believed."""

    item: int
    failed: int
    reason: str


@dataclass(slots=True)
class Absent:
    """Images of the unit whose source cannot be read now: nothing of the unit is committed."""

    images: list[tuple[str, str, str]]  # image id, reason, error


Message = Progress | Done | Suspect | Absent
