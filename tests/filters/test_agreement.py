"""agreement: counts the different producers in the support of a region."""

from __future__ import annotations

from typing import Any

import pytest

from engine.schema import Region, Sample, as_row
from filters.agreement import agreement
from specialists.consensus import Consensus
from tests.builders import reasons, record, region


def judged(*support: str, options: dict[str, Any] | None = None, **given: Any) -> str:
    shard = record(regions=[region(id="r", support=list(support), **given)])
    return reasons(shard, (agreement, options or {}))["r"]


@pytest.mark.parametrize(
    ("support", "reason"),
    [
        (["ssd/3", "yolo/1"], ""),
        (["ssd/3", "ssd/9"], "agreement"),
        (["ssd/3"], "agreement"),
        ([], "agreement"),
        (["a/b/1", "a/c/1"], ""),
    ],
)
def test_each_producer_counts_once(support: list[str], reason: str) -> None:
    assert judged(*support) == reason


def test_a_region_with_a_high_score_needs_no_second_producer() -> None:
    assert judged("ssd/3", score=0.8, options={"below": 0.8}) == ""
    assert judged("ssd/3", score=0.79, options={"below": 0.8}) == "agreement"


def test_a_label_or_a_producer_may_need_fewer() -> None:
    assert judged("ssd/3", label="Kite", options={"by_label": {"kite": 1}}) == ""
    assert judged("ssd/3", producer="fused", options={"by_producer": {"fused": 3}}) == "agreement"
    assert judged("a/0", "b/0", producer="fused", options={"by_producer": {"fused": 3}}) == "agreement"
    assert judged("a/0", "b/0", "c/0", producer="fused", options={"by_producer": {"fused": 3}}) == ""


def test_text_regions_are_not_judged_unless_named() -> None:
    assert judged("ocr/0", kind="text") == ""
    assert judged("ocr/0", kind="text", options={"kinds": ["text"]}) == "agreement"


def test_a_human_region_passes() -> None:
    assert judged(score=None) == ""


def test_a_fused_region_counts_the_producers_of_its_members() -> None:
    seen = [
        Region(10, 10, 60, 60, "cat", id="ssd/0", producer="ssd", score=0.6),
        Region(11, 10, 60, 61, "cat", id="yolo/0", producer="yolo", score=0.5),
        Region(70, 70, 90, 90, "dog", id="ssd/1", producer="ssd", score=0.9),
    ]
    (answer,) = Consensus().annotate([Sample("x", 100, 100, regions=seen)])
    rows = [as_row(item) | {"id": item.id if "/" in item.id else f"objects/{item.id}"} for item in answer.regions]
    for item in rows:
        item["merged_into"] = f"objects/{item['merged_into']}" if item["merged_into"] else ""
    found = reasons(record(regions=rows), agreement)
    assert {item["label"]: found[item["id"]] for item in rows if not item["merged_into"]} == {
        "cat": "",
        "dog": "agreement",
    }
