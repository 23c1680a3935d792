from __future__ import annotations

import random

import pytest

from pipelines.ingest.numbered_keys import NumberedKeys


@pytest.mark.parametrize("at_once", [1, 7, 2000])
def test_keys_are_found_under_their_number_however_they_were_added(at_once: int) -> None:
    draw = random.Random(at_once)
    # A tenth of the keys have one of few first halves, and so the same place in the table.
    keys = [
        (draw.getrandbits(64) - 2**63 if number % 10 else draw.choice((-1, 0, 2**40)), number) for number in range(3000)
    ]
    table = NumberedKeys()
    for start in range(0, len(keys), at_once):
        some = keys[start : start + at_once]
        if at_once == 1:
            assert table.find(*some[0]) == -1
            assert table.add(*some[0]) == start
        else:
            table.extend(*zip(*some, strict=True))
    assert len(table) == len(keys)
    for number, (first, second) in random.Random(0).sample(list(enumerate(keys)), 300):
        assert table.find(first, second) == number
        assert table.find(first, -second - 1) == -1
        assert number in table.with_first(first)
    assert table.with_first(-1) == [number for number, (first, _) in enumerate(keys) if first == -1]


def test_memory_of_fifty_thousand_keys_is_at_most_32_bytes_each() -> None:
    import tracemalloc

    tracemalloc.start()
    try:
        table = NumberedKeys()
        for number in range(50_000):
            table.add(hash(str(number)), number)
        size, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert 20 * len(table) < size < 34 * len(table)
