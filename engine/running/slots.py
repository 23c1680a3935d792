"""The interfaces of the scheduler: to a backend, which runs workers, and to a watcher, which shows progress."""

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
    """One worker, from the request to start it until its end."""

    node: Node
    created: bool = False  # whether its process runs; before that, it waits for resources
    ready: bool = False  # its component is loaded
    unit: Unit | None = None
    following: Unit | None = None  # the unit whose first images it decodes ahead; another worker may still get it
    units: int = 0  # finished by this worker
    items: int = 0  # finished of the current unit
    total: int = -1
    last_sign: float = field(default_factory=time.monotonic)  # of life; for time-outs only


@dataclass(frozen=True, slots=True)
class Event:
    """What happened to a worker: it was created, it started (loaded its component), it sent a message, it died, or it
    raised an `error` that ends the run. `died`: the reason of a death.
    """

    slot: Slot
    message: Progress | Done | Suspect | Absent | None = None
    died: str = ""
    error: EngineError | None = None
    created: bool = False
    started: bool = False


class Backend(Protocol):
    """Starts, runs and ends workers, as Ray actors or in this process."""

    def fits(self, node: Node) -> bool:
        """Whether there are free resources for one more worker of this node."""
        ...

    def why_impossible(self, node: Node) -> str:
        """The reason why no worker of this node can ever run here, as a sentence; otherwise ''."""
        ...

    def start(self, slot: Slot) -> None: ...
    def submit(self, slot: Slot, unit: Unit) -> None: ...
    def events(self, timeout: float) -> Sequence[Event]: ...
    def stop(self, slot: Slot) -> None: ...
    def close(self) -> None: ...


class Watcher(Protocol):
    """Shows the progress of a run."""

    def expect(self, node: str, units: int) -> None: ...
    def progressed(self, node: str, shard: int, items: int, total: int) -> None: ...
    def finished(self, node: str, unit: Unit, done: Done) -> None: ...
    def noted(self, node: str, note: str) -> None: ...
    def tick(self, busy: Mapping[str, int], waiting: int) -> None: ...
