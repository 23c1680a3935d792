"""Repeats units whose worker died. A unit is split until a single image is left, which then counts as failed.

Workers send the rows of a part back to the scheduler. When all parts of a split unit are done, their rows are committed
as one file, which is the same as without a split.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

import pyarrow as pa

from engine.errors import RunFailed
from engine.running.graph import Node
from engine.running.messages import Done, Suspect, Unit
from engine.running.run_options import RunOptions
from engine.running.shard_inputs import ShardInputs
from engine.running.slots import Watcher
from engine.running.unit_queues import UnitQueues
from engine.running.worker import Worker, WorkerContext, commit_file, table_bytes, table_from_bytes
from engine.schema import Failure
from engine.storage.commits import Commits, TableWriter
from engine.storage.files import Storage


@dataclass(slots=True)
class _Split:
    """A unit that was split, with the rows of the finished parts by position."""

    unit: Unit
    total: int
    rows: dict[tuple[int, int], pa.Table] = field(default_factory=dict)
    digests: dict[str, str] = field(default_factory=dict)
    failures: list[tuple[str, str, str]] = field(default_factory=list)
    seconds: float = 0.0
    notes: set[str] = field(default_factory=set)
    counts: dict[str, object] = field(default_factory=dict)

    def add(self, part: Unit, done: Done) -> None:
        self.rows[(part.lo, part.hi)] = table_from_bytes(done.rows)
        self.digests.update(done.inputs)
        self.failures += done.failures
        self.seconds += done.seconds
        self.notes.update(done.notes)
        self.counts = done.counts

    @property
    def complete(self) -> bool:
        return sum(hi - lo for lo, hi in self.rows) >= self.total


class LostUnits:
    """The split units of one run. Also the units that wait while another worker tries one of their images."""

    def __init__(
        self, storage: Storage, nodes: Mapping[str, Node], queues: UnitQueues, watcher: Watcher, options: RunOptions
    ) -> None:
        self.storage, self.nodes, self.queues, self.watcher, self.options = storage, nodes, queues, watcher, options
        self._splits: dict[tuple[str, int], _Split] = {}  # by node and shard
        self._trials: dict[tuple[str, int, int], Unit] = {}  # {(node, shard, item on trial): suspended unit}

    def recover(self, node: Node, unit: Unit, total: int, items: int, cause: str) -> tuple[Unit, Done] | None:
        """Queue the unit of a dead worker again, whole or in parts. Usually returns None.

        `items`: number of items that the worker had finished; `total`: number of items of the unit, -1 if not known. A
        single image that has killed `image_attempts` workers is not queued again. The result is then (unit, failure of
        the image).
        """
        if unit.fresh and (node.name, unit.shard, unit.lo) in self._trials:
            suspended = self._trials.pop((node.name, unit.shard, unit.lo))
            unit, total, items = suspended, suspended.hi - suspended.lo, unit.lo - suspended.lo
        elif total < 0 <= unit.hi:
            total = unit.hi - unit.lo
        if self.queues.is_aside(node.name, unit.shard):
            return None
        if node.over == "shard" or total <= 1:
            return self._try_again(node, unit, total, cause)
        self.watcher.noted(
            node.name, f"shard {unit.shard} [{unit.lo}, {unit.lo + total}): worker lost ({cause}); split"
        )
        self._put_parts(node, unit, total, _cuts(unit.lo, total, items, node.resources.batch_size))
        return None

    def suspend(self, node: Node, unit: Unit, total: int, suspect: Suspect) -> None:
        """Queue the first failed item for a fresh worker, to find out whether the item or the worker is at fault."""
        self.watcher.noted(
            node.name,
            f"shard {unit.shard}: {suspect.failed} failures ({suspect.reason}); one image is tried in another worker",
        )
        if unit.whole:
            self._splits[(node.name, unit.shard)] = _Split(unit, total)
        self._trials[(node.name, unit.shard, suspect.item)] = replace(unit, hi=unit.lo + total)
        trial = replace(unit, lo=suspect.item, hi=suspect.item + 1, fresh=True, trust=True, attempts=1)
        self.queues.put_first(node.name, [trial])

    def end_trial(self, node: Node, trial: Unit, done: Done) -> bool:
        """Queue a suspended unit again after the trial of its item.

        Returns False if the unit `trial` was not a trial.
        """
        suspended = self._trials.pop((node.name, trial.shard, trial.lo), None) if trial.fresh else None
        if suspended is None:
            return False
        if done.failed:
            self.queues.put_first(node.name, [replace(suspended, trust=True)])
            return True
        self.watcher.noted(
            node.name, f"shard {suspended.shard}: a fresh worker succeeds; the work of the failing one is discarded"
        )
        if trial.lo > suspended.lo:
            total = suspended.hi - suspended.lo
            self._put_parts(node, suspended, total, [suspended.lo, trial.lo, suspended.hi])
        else:
            attempts = suspended.attempts + 1
            trust = attempts > self.options.image_attempts
            self.queues.put_first(node.name, [replace(suspended, attempts=attempts, trust=trust, fresh=True)])
        return True

    def add_part(self, node: Node, unit: Unit, done: Done) -> None:
        """Store the rows of a part. Once all parts of the shard have arrived, commit them."""
        if self.queues.is_aside(node.name, unit.shard):
            return
        split = self._splits[(node.name, unit.shard)]
        split.add(unit, done)
        if split.complete:
            self._commit(node, split)

    def forget(self, node: Node, shard: int) -> None:
        """Delete the parts and trials of a shard that is set aside."""
        self._splits.pop((node.name, shard), None)
        for trial in [key for key in self._trials if key[:2] == (node.name, shard)]:
            del self._trials[trial]

    def _put_parts(self, node: Node, unit: Unit, total: int, cuts: Sequence[int]) -> None:
        if unit.whole:
            self._splits[(node.name, unit.shard)] = _Split(unit, total)
        parts = [replace(unit, lo=lo, hi=hi, fresh=False, attempts=1) for lo, hi in pairwise(cuts) if lo < hi]
        self.queues.put_first(node.name, parts)

    def _try_again(self, node: Node, unit: Unit, total: int, cause: str) -> tuple[Unit, Done] | None:
        """Queue the same unit again, and return None.

        After `image_attempts` tries, a single image is returned with its failure. For a larger unit RunFailed is
        raised.
        """
        if unit.attempts < self.options.image_attempts:
            self.queues.put_first(node.name, [replace(unit, attempts=unit.attempts + 1)])
            return None
        if total != 1 or node.over == "shard":
            raise RunFailed(
                f"{node.name} lost its worker {unit.attempts} times on shard {unit.shard} ({cause}): see its log in "
                "runs/."
            )
        return self._failed_image(node, unit, cause)

    def _failed_image(self, node: Node, unit: Unit, cause: str) -> tuple[Unit, Done]:
        worker = Worker(node, WorkerContext(self.nodes, self.storage.url), guarded=False)
        inputs = ShardInputs(self.storage, self.nodes, node, unit)
        items, attempts = worker.items(inputs), self.options.image_attempts
        reason = "timeout" if cause.startswith("no answer") else "crash"
        failure = Failure(node.name, reason, f"the worker was lost {attempts} times on it ({cause})", attempts)
        if unit.whole:
            self._splits[(node.name, unit.shard)] = _Split(unit, 1)
        rows = table_bytes(items.table([failure], unit.lo))
        failures = [(items.name(unit.lo), reason, failure.error)]
        done = Done(1, 1, rows=rows, failures=failures, attempted=1, unanswered=1, counts=inputs.counts())
        done.inputs = inputs.digests
        return replace(unit, hi=unit.lo + 1, fresh=False), done

    def _commit(self, node: Node, split: _Split) -> None:
        """Write the rows of all parts into one file, and commit it."""
        unit = split.unit
        del self._splits[(node.name, unit.shard)]
        commits = Commits(self.storage, node.folder)
        # The row of a lost image is made without the component, so it lacks the column `embedding`.
        table = pa.concat_tables([split.rows[part] for part in sorted(split.rows)], promote_options="default")
        with TableWriter(commits, unit.shard, table.schema, unit.revision) as writer:
            writer.write(table)
        notes = sorted(split.notes | {"split and joined"})
        done = Done(table.num_rows, len(split.failures), False, b"", split.seconds, notes, {}, split.failures)
        done.counts = split.counts
        done.committed = commit_file(commits, node, unit, writer.file, done, split.digests)
        self.watcher.finished(node.name, unit, done)
        self.queues.committed(node, unit.shard, unit.revision)


def _cuts(lo: int, total: int, items: int, batch: int) -> list[int]:
    """The positions at which to cut [lo, lo + total), both ends included.

    `items`: the number of items that were finished. If it is known, the cuts are before and after the next batch, which
    was running. Otherwise there is one cut in the middle.
    """
    hi = lo + total
    if 0 < items < total:
        return [lo, lo + items, min(lo + items + batch, hi), hi]
    if total > batch:
        return [lo, lo + -(-total // (2 * batch)) * batch, hi]
    return [lo, lo + total // 2, hi]
