"""Runs workers: as Ray actors, on this machine or a cluster, or in this process.

Both backends run the same Worker, so they write the same bytes. Only with Ray does a run survive crashes and hangs.
"""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from engine.errors import EngineError, StartError, StorageError
from engine.running.foreign_code import DescriptorsClosed
from engine.running.graph import Node
from engine.running.messages import Message, Unit
from engine.running.ray_cluster import start_ray
from engine.running.slots import Event, Slot
from engine.running.worker import Worker, WorkerContext

COUNT_AGAIN_S = 10.0  # seconds between two counts of the cluster's resources


class LocalBackend:
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
                return [Event(slot, error=_fault(error, slot.node.name))]
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


class RayBackend:
    """Runs each worker as a Ray actor. Ray does not restart a dead one, because the scheduler splits its unit."""

    def __init__(self, context: WorkerContext, *, address: str | None = None, logs: str = "") -> None:
        self._log = LogNames(logs)
        self._ray = start_ray(address)
        self._context, self._paths = context, [os.getcwd(), *_paths()]
        self._total, self._counted = self._ray.cluster_resources(), time.monotonic()
        self._actors: dict[Slot, Any] = {}
        self._creating: dict[Any, Slot] = {}
        self._loading: dict[Any, Slot] = {}
        self._running: dict[Any, Slot] = {}

    def _share(self, node: Node) -> dict[str, float]:
        share = {"CPU": node.resources.cpus, "GPU": node.resources.gpus, "memory": float(node.resources.memory)}
        return {name: amount for name, amount in share.items() if amount > 0}

    def fits(self, node: Node) -> bool:
        used: dict[str, float] = {}
        for slot in self._actors:
            for name, amount in self._share(slot.node).items():
                used[name] = used.get(name, 0.0) + amount
        if time.monotonic() - self._counted > COUNT_AGAIN_S:  # nodes come and go
            self._total, self._counted = self._ray.cluster_resources(), time.monotonic()
        free = {name: self._total.get(name, 0.0) - used.get(name, 0.0) for name in ("CPU", "GPU", "memory")}
        return all(amount <= free[name] + 1e-6 for name, amount in self._share(node).items())

    def why_impossible(self, node: Node) -> str:
        for name, amount in self._share(node).items():
            if amount > self._total.get(name, 0.0):
                has = self._total.get(name, 0.0)
                return f"{node.name} asks for {amount:g} {name}, this cluster has {has:g}: lower it in the recipe."
        return ""

    def start(self, slot: Slot) -> None:
        share = self._share(slot.node)
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
            seconds = time.monotonic() - slot.last_sign
            if seconds >= 0.9 * slot.node.resources.timeout_s:
                return [Event(slot, died=f"no answer within {slot.node.resources.timeout_s:g} s")]
            return [Event(slot, died=_cause_of_death(error))]

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


class LogNames:
    """Makes the log names of workers: <folder>/<node>-<number>.log.

    Shard components print nothing and have no log ('').
    """

    def __init__(self, folder: str) -> None:
        self._folder, self._started = folder, Counter[str]()

    def __call__(self, node: Node) -> str:
        self._started[node.name] += 1
        if not self._folder or node.over == "shard":
            return ""
        return f"{self._folder}/{node.name}-{self._started[node.name]}.log"


def _paths() -> list[str]:
    """The folders on sys.path that are not site-packages, for the sys.path of the workers."""
    return [path for path in sys.path if path and os.path.isdir(path) and "site-packages" not in path]


def _cause(error: Any, name: str) -> EngineError:
    cause = getattr(error, "cause", None)
    if isinstance(cause, EngineError | OSError):
        return _fault(cause, name)
    lines = [line for line in str(error).strip().splitlines() if line.strip()]
    return StartError(f"{name} stopped with a fault of the engine: {lines[-1] if lines else type(error).__name__}")


def _fault(error: EngineError | OSError, name: str) -> EngineError:
    return error if isinstance(error, EngineError) else StorageError(f"Storage failed under {name}: {error}")


def _cause_of_death(error: BaseException) -> str:
    """Why a worker died. The words are the same on every machine."""
    if type(error).__name__ == "OutOfMemoryError" or "running low on memory" in str(error):
        return "killed by Ray for memory: lower its batch_size or run.max_workers"
    return "the process ended"
