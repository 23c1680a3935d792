"""The scheduler: starts and ends workers, and gives each worker its next unit.

A node gets another worker while it has units that can run and resources are free. An idle worker is ended if another
node waits for resources, so that two runs on one cluster do not block each other. The scheduler stores nothing on disk.
A unit is done when its commit record exists, so a stopped run continues when the same command is given again.
"""

from __future__ import annotations

import time
from dataclasses import replace

from engine.errors import RunFailed, StorageError
from engine.running.crash_retries import LostUnits
from engine.running.failure_limits import NodeCount
from engine.running.graph import Node
from engine.running.messages import Absent, Done, Progress, Suspect, Unit
from engine.running.plan import Plan
from engine.running.run_options import RunOptions
from engine.running.slots import Backend, Event, Slot, Watcher
from engine.running.unit_queues import UnitQueues
from engine.storage.files import Storage

CROWDED_S = 5.0  # a worker that is not created after so long waits for resources that others use


class Scheduler:
    """Runs the units of one plan. Afterwards `counts` has the failures of each node."""

    def __init__(self, storage: Storage, plan: Plan, backend: Backend, watcher: Watcher, options: RunOptions) -> None:
        self.plan, self.backend, self.watcher, self.options = plan, backend, watcher, options
        self.slots: list[Slot] = []
        self.counts: dict[str, NodeCount] = {}
        self.queues = UnitQueues(plan, give_up=options.missing == "fail")
        self.lost = LostUnits(storage, dict(plan.known), self.queues, watcher, options)
        self._start_failures: dict[str, int] = {}
        # Nodes with GPUs first. Each node gets one worker before another gets a second: so fewer workers load a model.
        order = [(most, node) for most in (1, 0) for node in plan.nodes]
        self._order = sorted(order, key=lambda one: one[1].resources.gpus == 0)
        self._not_ahead: set[tuple[str, int]] = set()  # (node, shard) being decoded ahead when a worker died

    def run(self) -> None:
        """Run units until none is left.

        Raises RunFailed or StorageError if the run cannot go on. Commits are kept in any case.

        Shards with images that cannot be read now are set aside and listed in `queues.absent`.
        """
        todo = self.plan.todo()
        for node in self.plan.nodes:
            if todo[node.name].any() and (reason := self.backend.why_impossible(node)):
                raise RunFailed(reason)
            self.watcher.expect(node.name, int(todo[node.name].sum()))
            self.queues.fill(node, todo)
        try:
            while len(self.queues) or any(slot.unit for slot in self.slots):
                self._assign()
                for event in self.backend.events(0.2):
                    self._handle(event)
                self._end_silent_workers()
                busy: dict[str, int] = {}
                for slot in self.slots:
                    busy[slot.node.name] = busy.get(slot.node.name, 0) + (slot.unit is not None)
                self.watcher.tick(busy, len(self.queues))
        finally:
            for slot in list(self.slots):
                self._release(slot)

    # --- which worker gets which unit --------------------------------------------------------

    def _assign(self) -> None:
        for slot in self.slots:
            queue = self.queues[slot.node.name]
            if slot.ready and slot.unit is None and queue and (slot.units == 0 or not queue.needs_fresh_worker):
                self._submit(slot, queue.take(slot.following))
        for most, node in self._order:
            while self._wants_worker(node, most) and self._make_room(node):
                slot = Slot(node)
                self.slots.append(slot)
                self.backend.start(slot)

    def _wants_worker(self, node: Node, most: int) -> bool:
        """Whether the node has units for one more worker. `most`: so many workers are enough; 0: no limit."""
        queue = self.queues[node.name]
        if not queue:
            return False
        pool = [slot for slot in self.slots if slot.node.name == node.name]
        coming = sum(slot.unit is None and (not slot.ready or slot.units == 0) for slot in pool)
        limit = most or node.resources.max_workers
        if queue.needs_fresh_worker and coming == 0:
            used = next((slot for slot in pool if slot.unit is None), None)
            if used is not None:
                self._release(used)
                return True
        return len(queue) > coming and (limit == 0 or len(pool) < limit)

    def _make_room(self, node: Node) -> bool:
        """End idle workers until one more worker of this node fits. Returns whether it fits."""
        idle = self._idle()
        while not self.backend.fits(node):
            if not idle:
                return False
            self._release(idle.pop())
        return True

    def _idle(self) -> list[Slot]:
        return [slot for slot in self.slots if slot.ready and slot.unit is None and not self.queues[slot.node.name]]

    def _submit(self, slot: Slot, unit: Unit) -> None:
        slot.unit, slot.items, slot.total, slot.last_sign = unit, 0, -1, time.monotonic()
        slot.following = self._following(slot, unit)
        self.backend.submit(slot, replace(unit, following=slot.following))

    def _following(self, slot: Slot, unit: Unit) -> Unit | None:
        """The first unit ahead that no other worker decodes. None if there is none.

        Nothing is decoded ahead during a unit that is tried again: if decoding it killed the worker, this unit would
        be blamed.
        """
        if "pixels" not in slot.node.needs or not unit.whole or unit.fresh or unit.attempts > 1:
            return None
        taken = [other.following for other in self.slots if other is not slot]
        for other in self.queues[slot.node.name].ahead():
            if other not in taken and (other.node, other.shard) not in self._not_ahead:
                return other
        return None

    def _release(self, slot: Slot) -> None:
        self.slots.remove(slot)
        self.backend.stop(slot)

    # --- what workers report -----------------------------------------------------------------

    def _handle(self, event: Event) -> None:
        slot = event.slot
        if slot not in self.slots:
            return
        slot.last_sign = time.monotonic()
        if event.error is not None:
            raise RunFailed(str(event.error)) if not isinstance(event.error, StorageError) else event.error
        if event.died:
            self._died(slot, event.died)
        elif event.created:
            slot.created = True
        elif event.started:
            slot.ready = True
            self._start_failures[slot.node.name] = 0
        elif isinstance(event.message, Progress):
            self._progressed(slot, event.message)
        elif event.message is not None:
            self._returned(slot, event.message)

    def _progressed(self, slot: Slot, progress: Progress) -> None:
        slot.items += progress.items
        slot.total = max(slot.total, progress.total)
        if slot.unit is not None:
            self.watcher.progressed(slot.node.name, slot.unit.shard, progress.items, progress.total)

    def _returned(self, slot: Slot, message: Done | Suspect | Absent) -> None:
        """Handle the message that ends a unit.

        The worker is then free for another unit, or is ended if it may be at fault.
        """
        node, unit = slot.node, slot.unit
        assert unit is not None
        slot.unit = None
        slot.units += 1
        if isinstance(message, Suspect):
            self._release(slot)
            self.lost.suspend(node, unit, slot.total, message)
        elif isinstance(message, Absent):
            number = len(message.images)
            self.lost.forget(node, unit.shard)
            self.queues.set_aside(node.name, unit.shard, message.images)
            self.watcher.noted(node.name, f"shard {unit.shard}: {number} images cannot be read now; set aside")
        else:
            self._done(node, unit, message)

    def _done(self, node: Node, unit: Unit, done: Done) -> None:
        if self.lost.end_trial(node, unit, done):
            return
        if unit.whole:
            self.watcher.finished(node.name, unit, done)
            self.queues.committed(node, unit.shard, unit.revision)
        self._count_failures(node, done)
        if not unit.whole:
            self.lost.add_part(node, unit, done)

    def _count_failures(self, node: Node, done: Done) -> None:
        count = self.counts.setdefault(node.name, NodeCount())
        count.add(done)
        if count.faults > self.options.max_failures:
            raise RunFailed(
                f"{node.name} failed on {count.faults} images, more than run.max_failures "
                f"({self.options.max_failures}); the last error: {count.last}"
            )

    # --- workers that do not come back -------------------------------------------------------

    def _died(self, slot: Slot, cause: str) -> None:
        node, unit = slot.node, slot.unit
        self._release(slot)
        if slot.following is not None:
            self._not_ahead.add((node.name, slot.following.shard))
        if unit is None:
            count = self._start_failures[node.name] = self._start_failures.get(node.name, 0) + (not slot.ready)
            if count >= self.options.start_attempts:
                raise RunFailed(
                    f"{node.name} cannot start: its process ended while loading ({cause}): see its log in runs/."
                )
            return
        failed = self.lost.recover(node, unit, slot.total, slot.items, cause)
        if failed is not None:
            self._done(node, *failed)

    def _end_silent_workers(self) -> None:
        """End workers that have sent nothing for too long. Usually faulthandler ends a hanging process before this.

        Also ends idle workers if another worker of this run waits for resources. Ray's counts do not show whether
        another run has taken the rest of the cluster.
        """
        now = time.monotonic()
        if any(not slot.created and not slot.ready and now - slot.last_sign > CROWDED_S for slot in self.slots):
            for slot in self._idle():
                self._release(slot)
        for slot in list(self.slots):
            silent, timeout = now - slot.last_sign, self.options.start_timeout_s
            if slot.created and not slot.ready and silent > timeout:
                raise RunFailed(
                    f"{slot.node.name} did not start within {timeout:g} s: see its log in runs/, or raise "
                    "run.start_timeout_s."
                )
            limit = 2 * slot.node.resources.timeout_s + 30
            if slot.unit is not None and slot.node.over != "shard" and silent > limit:
                self._died(slot, f"no answer for {limit:g} s")
