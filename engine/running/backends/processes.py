"""Runs each worker in a process of this machine. A crash, a hang or a lack of memory costs one worker, not the run."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait

from engine.errors import EngineError
from engine.running.backends.common import ENDED as HAS_ENDED
from engine.running.backends.common import OUT_OF_MEMORY, LogNames, cause_of_silence, import_paths
from engine.running.backends.fork_client import fork_server
from engine.running.backends.fork_server import FORKED, Loaded, Surroundings, Work
from engine.running.backends.machine import Machine, largest, memory_is_full
from engine.running.graph import Node
from engine.running.messages import Unit
from engine.running.slots import Event, Slot
from engine.running.worker import WorkerContext

_MEMORY_CHECK_S = 1.0


@dataclass(slots=True)
class _Process:
    """A worker's process. `process`: its id, 0 until it is known. `gpus`: those that it may use."""

    slot: Slot
    number: int
    link: Connection
    gpus: tuple[str, ...]
    process: int = 0
    silent: bool = False  # it has closed its end of the link
    cause: str = ""  # why the driver killed it


class ProcessBackend:
    """Runs each worker in a process of this machine, forked by the fork server."""

    def __init__(self, context: WorkerContext, *, logs: str = "") -> None:
        self._context, self._log, self._machine = context, LogNames(logs), Machine()
        self._server = fork_server()
        self._workers: dict[int, _Process] = {}
        self._checked = time.monotonic()

    def fits(self, node: Node) -> bool:
        return self._place(node) is not None

    def _place(self, node: Node) -> tuple[str, ...] | None:
        return self._machine.place(node, [(one.slot.node, one.gpus) for one in self._workers.values()])

    def why_impossible(self, node: Node) -> str:
        return self._machine.why_impossible(node)

    def start(self, slot: Slot) -> None:
        gpus = self._place(slot.node) or ()
        number, link = self._server.start(slot.node.target)
        self._workers[number] = _Process(slot, number, link, gpus)
        _send(link, Surroundings(import_paths(), os.getcwd(), _environment(slot.node, gpus)))
        _send(link, Work(slot.node, self._context, self._log(slot.node)))

    def submit(self, slot: Slot, unit: Unit) -> None:
        _send(self._of(slot).link, unit)

    def _of(self, slot: Slot) -> _Process:
        return next(one for one in self._workers.values() if one.slot is slot)

    def events(self, timeout: float) -> Sequence[Event]:
        self._spare_memory()
        links = {one.link: one for one in self._workers.values() if not one.silent}
        events: list[Event] = []
        for ready in wait([self._server.control, *links], timeout):
            if isinstance(ready, Connection):
                events += _received(links[ready])
        # After the messages of the links, because the last ones of an ended worker still count.
        if wait([self._server.control], 0):
            events += self._answers()
        return events

    def _answers(self) -> list[Event]:
        events: list[Event] = []
        for kind, number, process in self._server.answers():
            one = self._workers.get(number)
            if one is None:  # it was stopped
                continue
            if kind == FORKED:
                one.process = process
                events.append(Event(one.slot, created=True))
                continue
            while not one.silent and one.link.poll():
                events += _received(one)
            self._remove(one)
            events.append(Event(one.slot, died=one.cause or cause_of_silence(one.slot) or HAS_ENDED))
        return events

    def _spare_memory(self) -> None:
        """Kill the largest worker if memory runs low. The kernel might otherwise end another process of the user."""
        if time.monotonic() - self._checked < _MEMORY_CHECK_S:
            return
        self._checked = time.monotonic()
        if memory_is_full():
            process = largest(one.process for one in self._workers.values() if one.process and not one.cause)
            for one in self._workers.values():
                if process and one.process == process:
                    one.cause = OUT_OF_MEMORY
                    self._server.kill(one.number)

    def _remove(self, one: _Process) -> None:
        del self._workers[one.number]
        one.link.close()

    def stop(self, slot: Slot) -> None:
        for one in [one for one in self._workers.values() if one.slot is slot]:
            self._server.kill(one.number)
            self._remove(one)

    def close(self) -> None:
        for one in list(self._workers.values()):
            self.stop(one.slot)


def _environment(node: Node, gpus: Sequence[str]) -> dict[str, str]:
    """The environment variables of a worker: GPUs and number of threads as Ray sets them."""
    threads = str(max(1, int(node.resources.cpus)))
    return {"OMP_NUM_THREADS": threads, **os.environ, "CUDA_VISIBLE_DEVICES": ",".join(gpus)}


def _send(link: Connection, message: object) -> None:
    """Send a message to a worker. If it has ended, nothing happens: the server reports that."""
    try:
        link.send(message)
    except OSError:
        return


def _received(one: _Process) -> list[Event]:
    """The next message of a worker, as an event. [] if it has closed its link, which the server reports as its end."""
    try:
        message = one.link.recv()
    except (EOFError, OSError):
        one.silent = True
        return []
    if isinstance(message, Loaded):
        return [Event(one.slot, started=True)]
    if isinstance(message, EngineError):
        return [Event(one.slot, error=message)]
    return [Event(one.slot, message)]
