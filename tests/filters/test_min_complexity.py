"""min_complexity: one bound for objects and one for actions, for each granularity."""

from __future__ import annotations

import pytest

from filters.min_complexity import min_complexity
from tests.builders import parse, parsed, reasons, record, text


@pytest.mark.parametrize(
    ("granularity", "objects", "actions", "reason"),
    [
        ("brief", 1.0, 0.0, ""),
        ("brief", 0.9, 5.0, "min_complexity.object"),
        ("detailed", 2.0, 1.0, ""),
        ("detailed", 1.9, 1.0, "min_complexity.object"),
        ("detailed", 2.0, 0.9, "min_complexity.action"),
        ("more_detailed", 2.0, 0.0, "min_complexity.action"),
    ],
)
def test_bounds_are_inclusive_and_depend_on_the_granularity(
    granularity: str, objects: float, actions: float, reason: str
) -> None:
    shard = record(texts=[text("Words.", granularity, id="t")])
    parses = parse(parsed("Words.", object_complexity=objects, action_complexity=actions))
    assert reasons(shard, min_complexity, parse=parses)["t"] == reason


def test_a_simple_human_text_passes() -> None:
    parses = parse(parsed("Cat.", object_complexity=0.0))
    assert reasons(record(texts=[text("Cat.", id="t", score=None)]), min_complexity, parse=parses)["t"] == ""


def test_a_producer_may_have_its_own_bounds() -> None:
    shard = record(texts=[text("Words.", id="a"), text("Words.", id="w", producer="web")])
    parses = parse(parsed("Words.", object_complexity=2.0))
    found = reasons(shard, (min_complexity, {"by_producer": {"web": {"min_object": 3}}}), parse=parses)
    assert (found["a"], found["w"]) == ("", "min_complexity.object")
