"""too_many_objects: a ceiling for each granularity."""

from __future__ import annotations

import pytest

from filters.too_many_objects import too_many_objects
from tests.builders import parse, parsed, reasons, record, text


@pytest.mark.parametrize(
    ("granularity", "objects", "reason"),
    [
        ("brief", 10, ""),
        ("brief", 11, "too_many_objects"),
        ("detailed", 30, ""),
        ("detailed", 31, "too_many_objects"),
        ("more_detailed", 60, ""),
        ("more_detailed", 61, "too_many_objects"),
    ],
)
def test_the_ceiling_is_inclusive_and_of_the_granularity(granularity: str, objects: int, reason: str) -> None:
    shard = record(texts=[text("List.", granularity, id="t")])
    assert reasons(shard, too_many_objects, parse=parse(parsed("List.", objects=["cat"] * objects)))["t"] == reason


def test_a_human_may_list_what_they_like() -> None:
    shard = record(texts=[text("List.", id="t", score=None)])
    assert reasons(shard, too_many_objects, parse=parse(parsed("List.", objects=["cat"] * 99)))["t"] == ""
