from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import ConfigError
from model.training.sampling import Schedule, shuffled


@given(size=st.integers(1, 3000), key=st.integers(0, 2**64 - 1))
def test_an_order_is_a_permutation(size: int, key: int) -> None:
    order = shuffled(np.arange(size), size, key)

    assert sorted(order.tolist()) == list(range(size))


def test_orders_of_a_billion_need_no_memory_and_differ_by_key() -> None:
    positions = np.arange(1000)

    first, second = (shuffled(positions, 10**9, key) for key in (1, 2))

    assert len(set(first.tolist())) == 1000
    assert (first != second).mean() > 0.99
    assert abs(first.mean() / 10**9 - 0.5) < 0.05


@pytest.mark.parametrize(("temperature", "shares"), [(1.0, (900, 100)), (0.5, (750, 250)), (0.0, (500, 500))])
def test_a_task_has_its_share_of_an_epoch(temperature: float, shares: tuple[int, int]) -> None:
    schedule = Schedule({"<OD>": 900, "<CAPTION>": 100}, temperature=temperature)

    tasks, _ = schedule.at(np.arange(len(schedule)))

    assert tuple(Counter(tasks.tolist())[number] for number in (0, 1)) == shares


def test_no_pair_repeats_before_all_were_drawn() -> None:
    schedule = Schedule({"<OD>": 60, "<CAPTION>": 7}, temperature=0.5, seed=3)

    tasks, rows = schedule.at(np.arange(20 * len(schedule)))

    for number, size in enumerate((60, 7)):
        own = rows[tasks == number]
        seen = Counter(own.tolist())
        assert set(seen) == set(range(size))
        assert max(seen.values()) - min(seen.values()) <= 2  # positions of an epoch are shuffled, so its end is ragged


def test_a_position_always_gives_the_same_pair() -> None:
    schedule, again = (Schedule({"<OD>": 50, "<OCR>": 20}, temperature=0.7, seed=5) for _ in range(2))
    whole = schedule.at(np.arange(400))

    parts = [again.at(np.arange(start, start + 16)) for start in (384, 0, 160)]

    for start, (tasks, rows) in zip((384, 0, 160), parts, strict=True):
        assert tasks.tolist() == whole[0][start : start + 16].tolist()
        assert rows.tolist() == whole[1][start : start + 16].tolist()


def test_orders_differ_by_seed_and_epoch() -> None:
    def order(seed: int, epoch: int) -> list[int]:
        schedule = Schedule({"<OD>": 200}, seed=seed)
        return schedule.at(np.arange(200) + 200 * epoch)[1].tolist()

    orders = [order(seed, epoch) for seed in (0, 1) for epoch in (0, 1)]

    assert all(sorted(one) == list(range(200)) for one in orders)
    assert len({tuple(one) for one in orders}) == 4


def test_no_pairs_at_all_are_refused() -> None:
    with pytest.raises(ConfigError, match="nothing to train on"):
        Schedule({"<OD>": 0})
