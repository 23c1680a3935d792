"""Which units can run now: one queue for each node.

A unit enters its queue when all inputs of its shard are committed. A shard with images that cannot be read now is set
aside: nothing of it is committed in this run.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial

import numpy as np
import numpy.typing as npt

from engine.layout import IMAGES
from engine.running.graph import Node
from engine.running.messages import Unit
from engine.running.plan import Plan

AHEAD = 64  # how many units of a queue workers may decode ahead; each worker decodes one


class UnitQueue:
    """The units of one node that can run now.

    A hundred thousand shards may be ready at once, so only their numbers and revisions are stored. `make`: the unit of
    a shard and a revision.
    """

    def __init__(self, make: Callable[[int, int], Unit]) -> None:
        self._make = make
        self._first: deque[Unit] = deque()  # parts of shards, and units that are tried again
        self._shards, self._revisions = array("i"), array("i")
        self._next = 0  # the position of the next shard

    def __len__(self) -> int:
        return len(self._first) + len(self._shards) - self._next

    @property
    def needs_fresh_worker(self) -> bool:
        """Whether only a worker that has not run a unit yet may run the next unit."""
        return bool(self._first) and self._first[0].fresh

    def append(self, shard: int, revision: int) -> None:
        self._shards.append(shard)
        self._revisions.append(revision)

    def ahead(self) -> Iterator[Unit]:
        """The next few units, without those that are tried again."""
        for place in self._places_ahead():
            yield self._make(self._shards[place], self._revisions[place])

    def _places_ahead(self) -> range:
        return range(self._next, min(self._next + AHEAD, len(self._shards)))

    def take(self, wanted: Unit | None = None) -> Unit:
        """Remove a unit, and return it: one that is tried again, `wanted` if it is among the next few, or the first."""
        if self._first:
            return self._first.popleft()
        if wanted is not None:
            for place in self._places_ahead():
                if (self._shards[place], self._revisions[place]) == (wanted.shard, wanted.revision):
                    del self._shards[place], self._revisions[place]
                    return wanted
        self._next += 1
        return self._make(self._shards[self._next - 1], self._revisions[self._next - 1])

    def put_first(self, units: Sequence[Unit]) -> None:
        self._first.extendleft(reversed(units))

    def remove(self, shard: int, blocked: Callable[[Unit], bool]) -> None:
        """Remove the units of a shard that are blocked."""
        self._first = deque(unit for unit in self._first if unit.shard != shard or not blocked(unit))
        # The views end with the expression: an array with a view cannot grow.
        found = np.flatnonzero(np.frombuffer(self._shards, np.int32) == shard) if self._shards else ()
        for position in reversed([int(one) for one in found if one >= self._next]):
            if blocked(self._make(shard, self._revisions[position])):
                del self._shards[position], self._revisions[position]


class UnitQueues:
    """The queues of one run, and the shards that are still to do.

    `give_up`: if the source of an image cannot be read, the image counts as failed and its shard is not set aside.
    """

    def __init__(self, plan: Plan, *, give_up: bool) -> None:
        self.plan, self.give_up = plan, give_up
        self.absent: dict[int, dict[str, tuple[str, str]]] = {}  # {shard: {image id: (reason, error)}}
        self._aside: set[tuple[str, int]] = set()  # (node, shard)
        self._queues = {node.name: UnitQueue(partial(self._unit, node)) for node in plan.nodes}
        self._open = {node.name: np.zeros(plan.shards, np.bool_) for node in plan.nodes}  # shards to do in this run
        self._retry = {name: set(shards) for name, shards in plan.retry.items()}
        self._readers = {node.name: [other for other in plan.nodes if node.name in other.inputs] for node in plan.nodes}

    def __getitem__(self, node: str) -> UnitQueue:
        return self._queues[node]

    def __len__(self) -> int:
        """The number of units in all queues."""
        return sum(map(len, self._queues.values()))

    def fill(self, node: Node, todo: Mapping[str, npt.NDArray[np.bool_]]) -> None:
        """Queue the shards of a node whose inputs are committed. `todo`: for each node, a mask of the shards to do."""
        required, own = self.plan.required(node), self.plan.revisions[node.name]
        waits = np.zeros(self.plan.shards, np.bool_)
        for name in node.inputs:
            if name in todo:
                waits |= todo[name]
        for shard in map(int, np.flatnonzero((required >= 0) & ~waits & (own < required))):
            self._enqueue(node, shard, int(required[shard]))
        for shard in sorted(self._retry.get(node.name, ())):
            if required[shard] >= 0 and not waits[shard] and own[shard] >= required[shard]:
                self._enqueue(node, shard, self.plan.generation)
        self._open[node.name] |= todo[node.name]

    def put_first(self, node: str, units: Sequence[Unit]) -> None:
        """Put units at the front of a node's queue, in the given order."""
        self._queues[node].put_first(units)

    def committed(self, node: Node, shard: int, revision: int) -> None:
        """Note that a shard was committed, and queue the units that waited for it."""
        own = self.plan.revisions[node.name]
        own[shard] = max(int(own[shard]), revision)
        self._finish(node, shard)

    def set_aside(self, node: str, shard: int, images: Iterable[tuple[str, str, str]]) -> None:
        """Commit nothing of this shard in this run, and remove queued units that would need its images.

        `images`: (image id, reason, error) of those that cannot be read now.
        """
        self._aside.add((node, shard))
        self.absent.setdefault(shard, {}).update({image: (reason, error) for image, reason, error in images})
        for name, queue in self._queues.items():
            queue.remove(shard, partial(self._blocked, name))

    def is_aside(self, node: str, shard: int) -> bool:
        return (node, shard) in self._aside

    def _enqueue(self, node: Node, shard: int, revision: int) -> None:
        self._retry.get(node.name, set()).discard(shard)
        self._queues[node.name].append(shard, revision)

    def _unit(self, node: Node, shard: int, revision: int) -> Unit:
        """The unit of a shard in a queue. The revisions of its inputs do not change while it is there."""
        inputs = {name: int(self.plan.revisions[name][shard]) for name in (IMAGES, *node.inputs)}
        before = int(self.plan.revisions[node.name][shard])
        return Unit(node.name, shard, revision, inputs, retry_of=before, give_up=self.give_up)

    def _finish(self, node: Node, shard: int) -> None:
        """Note that the node is done with this shard, and queue the units that waited for it."""
        self._open[node.name][shard] = False
        for reader in self._readers[node.name]:
            if not any(self._open[name][shard] for name in reader.inputs if name in self._open):
                self._enqueue_or_finish(reader, shard)

    def _enqueue_or_finish(self, node: Node, shard: int) -> None:
        """Queue the node's unit for this shard if it is needed.

        Called when all nodes that the node reads are done with it.
        """
        if not self._open[node.name][shard] or ("pixels" in node.needs and shard in self.absent):
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
            self._finish(node, shard)

    def _blocked(self, name: str, unit: Unit) -> bool:
        """Whether this unit is set aside, or certainly will be when a worker runs it."""
        reads = "pixels" in self.plan.known[name].needs and unit.retry_of < 0 and not unit.give_up
        return self.is_aside(name, unit.shard) or (reads and unit.shard in self.absent)
