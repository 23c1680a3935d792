"""The queue of one node holds shards as numbers, and units that go first."""

from __future__ import annotations

from dataclasses import replace

from engine.running.messages import Unit
from engine.running.unit_queues import UnitQueue


def unit(shard: int, revision: int = 0) -> Unit:
    return Unit("node", shard, revision, {"images": 0})


def queue_of(*shards: int) -> UnitQueue:
    queue = UnitQueue(unit)
    for shard in shards:
        queue.append(shard, shard % 2)
    return queue


def taken(queue: UnitQueue) -> list[Unit]:
    return [queue.take() for _ in range(len(queue))]


def test_shards_come_in_order_with_their_revisions() -> None:
    queue = queue_of(4, 7, 5)
    assert [(one.shard, one.revision) for one in taken(queue)] == [(4, 0), (7, 1), (5, 1)]
    assert len(queue) == 0


def test_units_that_are_put_first_come_before_all_shards_and_in_their_order() -> None:
    queue, parts = queue_of(1, 2), [replace(unit(9), lo=0, hi=5), replace(unit(9), lo=5, hi=8)]
    queue.put_first([unit(3)])
    queue.put_first(parts)
    assert len(queue) == 5
    assert taken(queue) == [*parts, unit(3), unit(1, 1), unit(2)]


def test_only_the_first_unit_decides_whether_a_fresh_worker_is_needed() -> None:
    queue = queue_of(1)
    assert not queue.needs_fresh_worker
    queue.put_first([replace(unit(1), fresh=True)])
    assert queue.needs_fresh_worker
    queue.put_first([unit(2)])
    assert not queue.needs_fresh_worker


def test_a_shard_is_removed_where_it_is_blocked_and_nothing_else() -> None:
    queue = queue_of(1, 6, 1, 2, 6)
    assert queue.take().shard == 1
    queue.put_first([unit(6), unit(5)])
    queue.remove(6, lambda one: one.revision == 0)
    queue.remove(1, lambda _: False)
    assert [one.shard for one in taken(queue)] == [5, 1, 2]
    queue.remove(1, lambda _: True)
    assert len(queue) == 0
    queue.append(8, 0)
    assert [one.shard for one in taken(queue)] == [8]


def test_a_worker_gets_the_shard_that_it_decodes_ahead() -> None:
    queue = queue_of(3, 4, 5)
    _, ahead, _ = queue.ahead()
    assert queue.take(ahead) == ahead
    assert [queue.take(ahead).shard, queue.take().shard] == [3, 5]


def test_units_that_are_tried_again_come_before_the_one_decoded_ahead() -> None:
    queue = queue_of(3, 4)
    ahead = next(queue.ahead())
    queue.put_first([unit(7)])
    assert [queue.take(ahead).shard, queue.take(ahead).shard] == [7, 3]
