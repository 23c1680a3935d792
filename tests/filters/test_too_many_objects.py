"""too_many_objects: a maximum for each granularity."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from engine.records.columns import ParsedTexts, Shard
from filters.too_many_objects import too_many_objects
from tests.builders import images, parse, parsed, reasons, record, text


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
def test_the_ceiling_is_inclusive_and_depends_on_the_granularity(granularity: str, objects: int, reason: str) -> None:
    shard = record(texts=[text("List.", granularity, id="t")])
    assert reasons(shard, too_many_objects, parse=parse(parsed("List.", objects=["cat"] * objects)))["t"] == reason


def test_a_human_text_may_list_any_number_of_objects() -> None:
    shard = record(texts=[text("List.", id="t", score=None)])
    assert reasons(shard, too_many_objects, parse=parse(parsed("List.", objects=["cat"] * 99)))["t"] == ""


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"max_objects": 5}, "too_many_objects"),
        ({"max_objects": {"detailed": 5}}, ""),
        ({"by_producer": {"web": 5}}, "too_many_objects"),
        ({"by_producer": {"web": {"brief": 5}}}, "too_many_objects"),
        ({"by_producer": {"captioner": 5}}, ""),
    ],
)
def test_the_cap_is_a_number_or_numbers_by_granularity_for_all_or_for_one_producer(
    options: dict[str, Any], reason: str
) -> None:
    shard = record(texts=[text("List.", id="t", producer="web")])
    parses = parse(parsed("List.", objects=["cat"] * 6))
    assert reasons(shard, (too_many_objects, options), parse=parses)["t"] == reason


def test_each_verdict_has_the_number_of_objects() -> None:
    shard = record(texts=[text("List."), text("List.", "detailed")])
    texts = ParsedTexts(Shard(shard, images(shard), parse(parsed("List.", objects=["cat"] * 6))))
    verdict = too_many_objects(texts)
    np.testing.assert_array_equal(verdict.value, [6, 6])
    np.testing.assert_array_equal(verdict.threshold, [10, 30])


@pytest.mark.parametrize(
    ("granularity", "objects", "tokens", "reason"),
    [
        ("more_detailed", 120, 400, ""),  # a true long description: .3 objects a word
        ("more_detailed", 160, 400, ""),
        ("more_detailed", 161, 400, "too_many_objects"),
        ("brief", 12, 30, ""),
        ("brief", 13, 30, "too_many_objects"),
        ("brief", 11, 16, "too_many_objects"),  # a list
    ],
)
def test_a_longer_text_may_name_more_objects(granularity: str, objects: int, tokens: int, reason: str) -> None:
    shard = record(texts=[text("List.", granularity, id="t")])
    parses = parse(parsed("List.", objects=["cat"] * objects, tokens=tokens))
    assert reasons(shard, too_many_objects, parse=parses)["t"] == reason


def test_with_a_share_of_zero_only_the_cap_counts() -> None:
    shard = record(texts=[text("List.", id="t")])
    parses = parse(parsed("List.", objects=["cat"] * 12, tokens=40))
    assert reasons(shard, (too_many_objects, {"max_share": 0}), parse=parses)["t"] == "too_many_objects"
