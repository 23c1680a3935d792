"""What the scheduler and a backend share: the worker as a slot, what is reported of it, and the two Protocols.

A backend runs workers (Ray actors, or this process); a watcher draws what they do.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from engine.errors import EngineError
from engine.running.graph import Node
from engine.running.messages import Absent, Done, Progress, Suspect, Unit


@dataclass(eq=False, slots=True)
class Slot:
    """One worker as the scheduler sees it."""

    node: Node
    created: bool = False  # its process runs: until then it waits for resources
    ready: bool = False
    unit: Unit | None = None
    units: int = 0  # finished by this worker
    items: int = 0  # of the unit in hand
    total: int = -1
    sign: float = field(default_factory=time.monotonic)  # last sign of life; for time-outs only


@dataclass(frozen=True, slots=True)
class Event:
    """What a backend reports of a slot: it started, sent a message, died, or could not start."""

    slot: Slot
    message: Progress | Done | Suspect | Absent | None = None
    died: str = ""
    error: EngineError | None = None
    created: bool = False
    started: bool = False


class Backend(Protocol):
    """Where workers live: Ray actors, or this process."""

    def fits(self, node: Node) -> bool: ...
    def possible(self, node: Node) -> str: ...
    def start(self, slot: Slot) -> None: ...
    def submit(self, slot: Slot, unit: Unit) -> None: ...
    def events(self, timeout: float) -> Sequence[Event]: ...
    def stop(self, slot: Slot) -> None: ...
    def close(self) -> None: ...


class Watcher(Protocol):
    """Who is told how it goes."""

    def expect(self, node: str, units: int) -> None: ...
    def progressed(self, node: str, shard: int, items: int, total: int) -> None: ...
    def finished(self, node: str, unit: Unit, done: Done) -> None: ...
    def noted(self, node: str, note: str) -> None: ...
    def tick(self, busy: Mapping[str, int], waiting: int) -> None: ...
