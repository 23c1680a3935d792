"""Runs each worker as a Ray actor, on a cluster or on this machine."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

from engine.errors import EngineError, StartError
from engine.running.backends.common import (
    ENDED,
    OUT_OF_MEMORY,
    LogNames,
    cause_of_silence,
    engine_fault,
    import_paths,
    run_error,
    share_of,
    too_much,
)
from engine.running.backends.ray_cluster import start_ray
from engine.running.foreign_code import DescriptorsClosed
from engine.running.graph import Node
from engine.running.messages import Message, Unit
from engine.running.slots import Event, Slot
from engine.running.worker import Worker, WorkerContext

COUNT_AGAIN_S = 10.0  # seconds between two counts of the cluster's resources


class RayBackend:
    """Runs each worker as a Ray actor. Ray does not restart a dead one, because the scheduler splits its unit."""

    def __init__(self, context: WorkerContext, *, address: str | None = None, logs: str = "") -> None:
        self._log = LogNames(logs)
        self._ray = start_ray(address)
        self._context, self._paths = context, import_paths()
        self._total, self._counted = self._ray.cluster_resources(), time.monotonic()
        self._actors: dict[Slot, Any] = {}
        self._creating: dict[Any, Slot] = {}
        self._loading: dict[Any, Slot] = {}
        self._running: dict[Any, Slot] = {}

    def fits(self, node: Node) -> bool:
        used: dict[str, float] = {}
        for slot in self._actors:
            for name, amount in share_of(slot.node).items():
                used[name] = used.get(name, 0.0) + amount
        if time.monotonic() - self._counted > COUNT_AGAIN_S:  # nodes come and go
            self._total, self._counted = self._ray.cluster_resources(), time.monotonic()
        free = {name: self._total.get(name, 0.0) - used.get(name, 0.0) for name in ("CPU", "GPU", "memory")}
        return all(amount <= free[name] + 1e-6 for name, amount in share_of(node).items())

    def why_impossible(self, node: Node) -> str:
        return too_much(node, self._total, "this cluster")

    def start(self, slot: Slot) -> None:
        share = share_of(slot.node)
        actor = (
            self._ray.remote(RemoteWorker)
            .options(
                num_cpus=share.get("CPU", 0),
                num_gpus=share.get("GPU", 0),
                memory=int(share["memory"]) if "memory" in share else None,
                max_restarts=0,
                max_task_retries=0,
            )
            .remote(slot.node, self._context, self._paths, self._log(slot.node))
        )
        self._actors[slot] = actor
        self._creating[actor.created.remote()] = slot
        self._loading[actor.load.remote()] = slot

    def submit(self, slot: Slot, unit: Unit) -> None:
        stream = self._actors[slot].run.options(num_returns="streaming").remote(unit)
        self._running[stream] = slot

    def events(self, timeout: float) -> Sequence[Event]:
        waiting = [*self._creating, *self._loading, *self._running]
        if not waiting:
            time.sleep(timeout)
            return []
        ready, _ = self._ray.wait(waiting, num_returns=1, timeout=timeout)
        more, _ = self._ray.wait(waiting, num_returns=len(waiting), timeout=0)
        answer: list[Event] = []
        for item in dict.fromkeys([*ready, *more]):
            if item in self._creating:
                answer.append(Event(self._creating.pop(item), created=True))
            else:
                answer += self._loaded(item) if item in self._loading else self._next(item)
        return answer

    def _loaded(self, reference: Any) -> list[Event]:
        slot = self._loading.pop(reference)
        try:
            self._ray.get(reference)
        except self._ray.exceptions.RayTaskError as error:
            return [Event(slot, error=_cause(error, slot.node.name))]
        except self._ray.exceptions.RayError as error:
            return [Event(slot, died=_cause_of_death(error))]
        return [Event(slot, started=True)]

    def _next(self, stream: Any) -> list[Event]:
        slot = self._running.get(stream)
        if slot is None:
            return []
        try:
            return [Event(slot, self._ray.get(next(stream)))]
        except StopIteration:
            self._running.pop(stream, None)
            return []
        except self._ray.exceptions.RayTaskError as error:
            self._running.pop(stream, None)
            return [Event(slot, error=_cause(error, slot.node.name))]
        except self._ray.exceptions.RayError as error:
            self._running.pop(stream, None)
            return [Event(slot, died=cause_of_silence(slot) or _cause_of_death(error))]

    def stop(self, slot: Slot) -> None:
        actor = self._actors.pop(slot, None)
        for table in (self._creating, self._loading, self._running):
            for key in [key for key, value in table.items() if value is slot]:
                del table[key]
        if actor is not None:
            self._ray.kill(actor, no_restart=True)

    def close(self) -> None:
        for slot in list(self._actors):
            self.stop(slot)


class RemoteWorker:
    """The Ray actor: a Worker in its own process."""

    def __init__(self, node: Node, context: WorkerContext, paths: Sequence[str], log: str) -> None:
        sys.path.extend(path for path in paths if path not in sys.path)
        if not node.resources.gpus:  # Ray hides other GPUs only from workers to which it granted some
            os.environ["CUDA_VISIBLE_DEVICES"] = ""
        self.worker = Worker(node, context, guarded=True, log=log)

    def created(self) -> None:
        """Called to find out when the process runs. Does nothing."""

    def load(self) -> None:
        self.worker.load()

    def run(self, unit: Unit) -> Iterator[Message]:
        try:
            yield from self.worker.run(unit)
        except DescriptorsClosed:
            os._exit(1)  # the process can no longer report anything; the scheduler splits its unit


def _cause(error: Any, name: str) -> EngineError:
    cause = getattr(error, "cause", None)
    if isinstance(cause, EngineError | OSError):
        return run_error(cause, name)
    lines = [line for line in str(error).strip().splitlines() if line.strip()]
    return StartError(engine_fault(name, lines[-1] if lines else type(error).__name__))


def _cause_of_death(error: BaseException) -> str:
    """Why a worker died."""
    if type(error).__name__ == "OutOfMemoryError" or "running low on memory" in str(error):
        return OUT_OF_MEMORY
    return ENDED
