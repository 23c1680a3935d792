"""Runs one worker at a time in this process: for debuggers and for tests. It does not survive crashes and hangs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from engine.errors import EngineError
from engine.running.backends.common import LogNames, run_error
from engine.running.foreign_code import DescriptorsClosed
from engine.running.graph import Node
from engine.running.messages import Message, Unit
from engine.running.slots import Event, Slot
from engine.running.worker import Worker, WorkerContext


class InlineBackend:
    """Runs one worker at a time, in this process."""

    def __init__(self, context: WorkerContext, *, logs: str = "") -> None:
        self._context = context
        self._log = LogNames(logs)
        self._workers: dict[Slot, Worker] = {}
        self._running: dict[Slot, Iterator[Message]] = {}
        self._starting: list[Slot] = []

    def fits(self, node: Node) -> bool:
        return len(self._workers) + len(self._starting) == 0

    def why_impossible(self, node: Node) -> str:
        return ""

    def start(self, slot: Slot) -> None:
        self._starting.append(slot)

    def submit(self, slot: Slot, unit: Unit) -> None:
        self._running[slot] = self._workers[slot].run(unit)

    def events(self, timeout: float) -> Sequence[Event]:
        for slot in self._starting:
            self._starting.remove(slot)
            worker = Worker(slot.node, self._context, guarded=False, log=self._log(slot.node))
            try:
                worker.load()
            except EngineError as error:
                worker.foreign.close()
                return [Event(slot, error=error)]
            except DescriptorsClosed as error:
                return [Event(slot, died=str(error))]
            self._workers[slot] = worker
            return [Event(slot, started=True)]
        for slot, messages in list(self._running.items()):
            try:
                return [Event(slot, next(messages))]
            except StopIteration:
                self._running.pop(slot, None)
            except DescriptorsClosed as error:
                return [Event(slot, died=str(error))]
            except (EngineError, OSError) as error:
                return [Event(slot, error=run_error(error, slot.node.name))]
        return []

    def stop(self, slot: Slot) -> None:
        if (running := self._running.pop(slot, None)) is not None:
            running.close()  # type: ignore[attr-defined]
        if (worker := self._workers.pop(slot, None)) is not None:
            worker.foreign.close()

    def close(self) -> None:
        for worker in self._workers.values():
            worker.foreign.close()
        self._running.clear()
        self._workers.clear()
