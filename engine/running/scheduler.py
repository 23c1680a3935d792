"""The scheduler: which unit goes to which worker next, and what becomes of units that do not come back.

Units whose inputs are committed are ready. A pool grows while its node has ready units and resources are
free; a worker that idles while another waits for resources is released, also where others use the cluster too. It
holds no state worth keeping: what is done is what has a commit record, so the same command again goes on where the
last one stopped.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from engine.errors import RunFailed, StorageError
from engine.layout import IMAGES
from engine.running.failure_limits import NodeCount
from engine.running.graph import Node
from engine.running.messages import Absent, Done, Progress, Suspect, Unit
from engine.running.plan import Plan
from engine.running.run_options import RunOptions
from engine.running.shard_inputs import ShardInputs
from engine.running.slots import Backend, Event, Slot, Watcher
from engine.running.worker import Worker, WorkerContext, commit_file, table_bytes, table_from_bytes
from engine.schema import Failure
from engine.storage.commits import Commits, TableWriter
from engine.storage.files import Storage

CROWDED_S = 5.0  # a worker that is not created after so long waits for what others of the cluster hold


@dataclass(slots=True)
class _Job:
    """A shard whose unit was split: the rows that came back, by position, until they are all there."""

    unit: Unit
    total: int
    rows: dict[tuple[int, int], pa.Table] = field(default_factory=dict)
    digests: dict[str, str] = field(default_factory=dict)
    failures: list[tuple[str, str, str]] = field(default_factory=list)
    seconds: float = 0.0
    notes: set[str] = field(default_factory=set)

    def missing(self) -> bool:
        return sum(hi - lo for lo, hi in self.rows) < self.total


class Scheduler:
    def __init__(
        self,
        storage: Storage,
        plan: Plan,
        backend: Backend,
        watcher: Watcher,
        options: RunOptions,
    ) -> None:
        self.storage, self.plan, self.backend, self.watcher = storage, plan, backend, watcher
        self.options = options
        self.nodes = dict(plan.known)
        self.slots: list[Slot] = []
        self.counts: dict[str, NodeCount] = {}
        self.absent: dict[int, dict[str, tuple[str, str]]] = {}  # shard -> image -> reason and error
        self._aside: set[tuple[str, int]] = set()  # (node, shard) of which nothing is committed in this run
        self._queues: dict[str, deque[Unit]] = {node.name: deque() for node in plan.nodes}
        self._open: dict[str, set[int]] = {node.name: set() for node in plan.nodes}  # shards to do in this run
        self._jobs: dict[tuple[str, int], _Job] = {}
        self._probes: dict[tuple[str, int, int], Unit] = {}  # a single image on trial -> the suspended unit
        self._retry = {name: set(shards) for name, shards in plan.retry.items()}
        self._start_failures: dict[str, int] = {}
        self._readers = {node.name: [other for other in plan.nodes if node.name in other.inputs] for node in plan.nodes}

    def run(self) -> None:
        """Until nothing is left. RunFailed, StorageError and KeyboardInterrupt leave all commits standing.

        Shards with images that cannot be read now are left out and told in `absent`.
        """
        todo = self.plan.todo()
        for node in self.plan.nodes:
            if todo[node.name].any() and (reason := self.backend.possible(node)):
                raise RunFailed(reason)
            self.watcher.expect(node.name, int(todo[node.name].sum()))
            self._fill(node, todo)
        try:
            while any(self._queues.values()) or any(slot.unit for slot in self.slots):
                self._assign()
                for event in self.backend.events(0.2):
                    self._handle(event)
                self._watch_clock()
                busy: dict[str, int] = {}
                for slot in self.slots:
                    busy[slot.node.name] = busy.get(slot.node.name, 0) + (slot.unit is not None)
                self.watcher.tick(busy, sum(len(queue) for queue in self._queues.values()))
        finally:
            for slot in list(self.slots):
                self._release(slot)

    # --- what is ready ---------------------------------------------------------------------

    def _fill(self, node: Node, todo: Mapping[str, npt.NDArray[np.bool_]]) -> None:
        required, own = self.plan.required(node), self.plan.revisions[node.name]
        waits = np.zeros(self.plan.shards, np.bool_)
        for name in node.inputs:
            if name in todo:
                waits |= todo[name]
        for ready in np.flatnonzero((required >= 0) & ~waits & (own < required)):
            self._enqueue(node, int(ready), int(required[ready]))
        for shard in sorted(self._retry.get(node.name, ())):
            if required[shard] >= 0 and not waits[shard] and own[shard] >= required[shard]:
                self._enqueue(node, shard, self.plan.generation)
        self._open[node.name] |= {int(shard) for shard in np.flatnonzero(todo[node.name])}

    def _enqueue(self, node: Node, shard: int, revision: int) -> None:
        inputs = {name: int(self.plan.revisions[name][shard]) for name in (IMAGES, *node.inputs)}
        self._retry.get(node.name, set()).discard(shard)
        before = int(self.plan.revisions[node.name][shard])
        unit = Unit(node.name, shard, revision, inputs, retry_of=before, give_up=self.options.missing == "fail")
        self._queues[node.name].append(unit)

    def _committed(self, node: Node, shard: int, revision: int) -> None:
        own = self.plan.revisions[node.name]
        own[shard] = max(int(own[shard]), revision)
        self._settled(node, shard)

    def _settled(self, node: Node, shard: int) -> None:
        """Nothing is left to do here in this run: readers may go on."""
        self._open[node.name].discard(shard)
        for reader in self._readers[node.name]:
            if not any(shard in self._open.get(name, ()) for name in reader.inputs):
                self._offer(reader, shard)

    def _offer(self, node: Node, shard: int) -> None:
        """Queue a unit whose last missing input was just settled."""
        if shard not in self._open[node.name] or ("pixels" in node.needs and shard in self.absent):
            return
        revisions = [int(self.plan.revisions[name][shard]) for name in node.inputs]
        images = int(self.plan.revisions[IMAGES][shard])
        required = max([0, *revisions, images if node.reads_labels else 0])
        retried = shard in self._retry.get(node.name, ())
        if min(revisions, default=0) < 0:
            return
        if retried or self.plan.revisions[node.name][shard] < required:
            self._enqueue(node, shard, max(required, self.plan.generation if retried else 0))
        else:
            self._settled(node, shard)

    # --- who does it -----------------------------------------------------------------------

    def _assign(self) -> None:
        for slot in self.slots:
            queue = self._queues[slot.node.name]
            if slot.ready and slot.unit is None and queue and (not queue[0].fresh or slot.units == 0):
                self._submit(slot, queue.popleft())
        for node in sorted(self.plan.nodes, key=lambda node: node.resources.gpus == 0):
            while self._wants_worker(node):
                if not self._make_room(node):
                    break
                slot = Slot(node)
                self.slots.append(slot)
                self.backend.start(slot)

    def _wants_worker(self, node: Node) -> bool:
        queue = self._queues[node.name]
        pool = [slot for slot in self.slots if slot.node.name == node.name]
        coming = sum(slot.unit is None and (not slot.ready or slot.units == 0) for slot in pool)
        limit = node.resources.max_workers
        if queue and queue[0].fresh and coming == 0:
            used = next((slot for slot in pool if slot.unit is None), None)
            if used is not None:
                self._release(used)
                return True
        return len(queue) > coming and (limit == 0 or len(pool) < limit)

    def _make_room(self, node: Node) -> bool:
        """Whether a worker fits, after releasing those that idle."""
        idle = self._idle()
        while not self.backend.fits(node):
            if not idle:
                return False
            self._release(idle.pop())
        return True

    def _idle(self) -> list[Slot]:
        return [s for s in self.slots if s.ready and s.unit is None and not self._queues[s.node.name]]

    def _submit(self, slot: Slot, unit: Unit) -> None:
        slot.unit, slot.items, slot.total, slot.sign = unit, 0, -1, time.monotonic()
        self.backend.submit(slot, unit)

    def _release(self, slot: Slot) -> None:
        self.slots.remove(slot)
        self.backend.stop(slot)

    # --- what comes back -------------------------------------------------------------------

    def _handle(self, event: Event) -> None:
        slot = event.slot
        if slot not in self.slots:
            return
        slot.sign = time.monotonic()
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
            slot.items += event.message.items
            slot.total = max(slot.total, event.message.total)
            if slot.unit is not None:
                self.watcher.progressed(slot.node.name, slot.unit.shard, event.message.items, event.message.total)
        elif isinstance(event.message, Suspect):
            self._suspected(slot, event.message)
        elif isinstance(event.message, Absent):
            self._put_aside(slot, event.message)
        elif isinstance(event.message, Done):
            assert slot.unit is not None
            unit, slot.unit = slot.unit, None
            slot.units += 1
            self._done(slot.node, unit, event.message)

    def _done(self, node: Node, unit: Unit, done: Done) -> None:
        suspended = self._probes.pop((node.name, unit.shard, unit.lo), None) if unit.fresh else None
        if suspended is not None:
            self._judge_probe(suspended, unit, done)
            return
        if unit.whole:
            self.watcher.finished(node.name, unit, done)
            self._committed(node, unit.shard, unit.revision)
        self._count_failures(node, done)
        if unit.whole:
            return
        if (node.name, unit.shard) in self._aside:
            return
        job = self._jobs[(node.name, unit.shard)]
        job.rows[(unit.lo, unit.hi)] = table_from_bytes(done.rows)
        job.digests.update(done.inputs)
        job.failures += done.failures
        job.seconds += done.seconds
        job.notes.update(done.notes)
        if not job.missing():
            self._commit_job(node, job)

    def _put_aside(self, slot: Slot, absent: Absent) -> None:
        """Nothing of this unit's shard is committed now; readers of it wait for another run, other shards go on."""
        node, unit = slot.node, slot.unit
        assert unit is not None
        slot.unit = None
        slot.units += 1
        place = (node.name, unit.shard)
        self._aside.add(place)
        self._jobs.pop(place, None)
        for trial in [key for key in self._probes if key[:2] == place]:
            del self._probes[trial]
        found = self.absent.setdefault(unit.shard, {})
        found.update({image: (reason, error) for image, reason, error in absent.images})
        self.watcher.noted(node.name, f"shard {unit.shard}: {len(absent.images)} images cannot be read now; put aside")
        for name, queue in self._queues.items():
            kept = [unit for unit in queue if not self._hopeless(name, unit)]
            queue.clear()
            queue.extend(kept)

    def _hopeless(self, name: str, unit: Unit) -> bool:
        """Whether this unit is put aside, or would be as soon as it is tried."""
        reads = "pixels" in self.nodes[name].needs and unit.retry_of < 0 and not unit.give_up
        return (name, unit.shard) in self._aside or (reads and unit.shard in self.absent)

    def _count_failures(self, node: Node, done: Done) -> None:
        count = self.counts.setdefault(node.name, NodeCount())
        count.add(done)
        if count.faults > self.options.max_failures:
            raise RunFailed(
                f"{node.name} failed on {count.faults} images, more than run.max_failures "
                f"({self.options.max_failures}); the last said: {count.last}"
            )

    def _commit_job(self, node: Node, job: _Job) -> None:
        """Write the rows of a split shard as if it had never been split."""
        del self._jobs[(node.name, job.unit.shard)]
        commits = Commits(self.storage, node.folder)
        table = pa.concat_tables([job.rows[place] for place in sorted(job.rows)])
        with TableWriter(commits, job.unit.shard, table.schema, job.unit.revision) as writer:
            writer.write(table)
        failed = len(job.failures)
        committed = commit_file(commits, node, job.unit, writer.file, failed, job.digests)
        notes = sorted(job.notes | {"split and put together"})
        done = Done(table.num_rows, failed, committed, b"", job.seconds, notes, {}, job.failures)
        self.watcher.finished(node.name, job.unit, done)
        self._committed(node, job.unit.shard, job.unit.revision)

    # --- what does not come back -----------------------------------------------------------

    def _died(self, slot: Slot, cause: str) -> None:
        node, unit, items = slot.node, slot.unit, slot.items
        self._release(slot)
        if unit is None:
            count = self._start_failures[node.name] = self._start_failures.get(node.name, 0) + (not slot.ready)
            if count >= self.options.start_attempts:
                raise RunFailed(f"{node.name} cannot start: its process ended while loading ({cause}).")
            return
        if unit.fresh and (node.name, unit.shard, unit.lo) in self._probes:
            suspended = self._probes.pop((node.name, unit.shard, unit.lo))
            self._split(node, suspended, suspended.hi - suspended.lo, unit.lo - suspended.lo, cause)
            return
        total = slot.total if slot.total >= 0 else (unit.hi - unit.lo if unit.hi >= 0 else -1)
        self._split(node, unit, total, items, cause)

    def _split(self, node: Node, unit: Unit, total: int, items: int, cause: str) -> None:
        """Cut a unit that did not come back: what was finished, the batch in hand, the rest; then halves."""
        if (node.name, unit.shard) in self._aside:
            return
        if node.over == "shard" or total <= 1:
            self._again(node, unit, total, cause)
            return
        self.watcher.noted(
            node.name, f"shard {unit.shard} [{unit.lo}, {unit.lo + total}): worker lost ({cause}); split"
        )
        lo, hi = unit.lo, unit.lo + total
        batch = node.resources.batch_size
        if 0 < items < total:
            cuts = [lo, lo + items, min(lo + items + batch, hi), hi]
        elif total > batch:
            cuts = [lo, lo + -(-total // (2 * batch)) * batch, hi]  # halves, on a batch's edge
        else:
            cuts = [lo, lo + total // 2, hi]
        self._enqueue_parts(node, unit, total, cuts)

    def _enqueue_parts(self, node: Node, unit: Unit, total: int, cuts: Sequence[int], **changes: Any) -> None:
        if unit.whole:
            self._jobs[(node.name, unit.shard)] = _Job(unit, total)
        pairs = [(a, b) for a, b in pairwise(cuts) if a < b]
        parts = [replace(unit, **({"lo": lo, "hi": hi, "fresh": False, "attempts": 1} | changes)) for lo, hi in pairs]
        self._queues[node.name].extendleft(reversed(parts))

    def _again(self, node: Node, unit: Unit, total: int, cause: str) -> None:
        """The same unit once more; a single image that was lost three times is quarantined."""
        if unit.attempts < self.options.image_attempts:
            self._queues[node.name].appendleft(replace(unit, attempts=unit.attempts + 1))
        elif total != 1 or node.over == "shard":
            raise RunFailed(f"{node.name} loses its worker on shard {unit.shard} again and again ({cause}).")
        else:
            self._quarantine(node, unit, cause)

    def _quarantine(self, node: Node, unit: Unit, cause: str) -> None:
        worker = Worker(node, WorkerContext(self.nodes, self.storage.url), guarded=False)
        inputs = ShardInputs(self.storage, self.nodes, node, unit)
        items = worker.items(inputs)
        reason = "timeout" if cause.startswith("no answer") else "crash"
        failure = Failure(
            node.name,
            reason,
            f"the worker was lost {self.options.image_attempts} times on it ({cause})",
            self.options.image_attempts,
        )
        if unit.whole:
            self._jobs[(node.name, unit.shard)] = _Job(unit, 1)
        rows = table_bytes(items.table([failure], unit.lo))
        found = [(items.name(unit.lo), reason, failure.error)]
        done = Done(1, 1, rows=rows, inputs=inputs.digests, failures=found, asked=1, refused=1)
        self._done(node, replace(unit, hi=unit.lo + 1, fresh=False), done)

    def _suspected(self, slot: Slot, suspect: Suspect) -> None:
        """Many failures: try one of them in a fresh worker before anything is believed."""
        node, unit, total = slot.node, slot.unit, slot.total
        assert unit is not None
        self._release(slot)
        self.watcher.noted(
            node.name, f"shard {unit.shard}: {suspect.failed} failures ({suspect.reason}); trying one elsewhere"
        )
        suspended = replace(unit, hi=unit.lo + total)
        if unit.whole:
            self._jobs[(node.name, unit.shard)] = _Job(unit, total)
        self._probes[(node.name, unit.shard, suspect.item)] = suspended
        trial = replace(unit, lo=suspect.item, hi=suspect.item + 1, fresh=True, trust=True, attempts=1)
        self._queues[node.name].appendleft(trial)

    def _judge_probe(self, suspended: Unit, trial: Unit, done: Done) -> None:
        node, total = self.nodes[suspended.node], suspended.hi - suspended.lo
        if done.failed:
            self._queues[node.name].appendleft(replace(suspended, trust=True))
            return
        self.watcher.noted(
            node.name, f"shard {suspended.shard}: a fresh worker can do it; the sick one's work is not used"
        )
        if trial.lo > suspended.lo:
            self._enqueue_parts(node, suspended, total, [suspended.lo, trial.lo, suspended.hi])
        else:
            attempts = suspended.attempts + 1
            again = replace(suspended, attempts=attempts, trust=attempts > self.options.image_attempts, fresh=True)
            self._queues[node.name].appendleft(again)

    def _watch_clock(self) -> None:
        """End workers that give no sign of life; inside a batch, faulthandler ends them first.

        What this run holds idle it gives back where one of its workers waits: two runs on one cluster would otherwise
        each wait for what the other holds, and no count of its own tells a run that the cluster is full.
        """
        now = time.monotonic()
        if any(not slot.created and not slot.ready and now - slot.sign > CROWDED_S for slot in self.slots):
            for slot in self._idle():
                self._release(slot)
        for slot in list(self.slots):
            silent = now - slot.sign
            if slot.created and not slot.ready and silent > self.options.start_timeout_s:
                raise RunFailed(f"{slot.node.name} did not start within {self.options.start_timeout_s:g} s.")
            limit = 2 * slot.node.resources.timeout_s + 30
            if slot.unit is not None and slot.node.over != "shard" and silent > limit:
                self._died(slot, f"no answer for {limit:g} s")
