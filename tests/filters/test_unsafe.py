"""unsafe: any model above its own ceiling rejects an image."""

from __future__ import annotations

from typing import Any

import pytest

from filters.judging.apply_rules import judge
from filters.unsafe import unsafe
from tests.builders import Row, image_score, images, reasons, record, row

IMAGE = "0" * 32


def judged(*scores: Row, **options: Any) -> str:
    return reasons(record(image_scores=list(scores)), (unsafe, options))[IMAGE]


@pytest.mark.parametrize(("value", "reason"), [(0.5, ""), (0.51, "unsafe"), (0.0, "")])
def test_the_ceiling_is_inclusive(value: float, reason: str) -> None:
    assert judged(image_score("unsafe", value)) == reason


def test_each_of_several_models_rejects_by_its_own_ceiling() -> None:
    scores = [image_score("unsafe", 0.7, producer="a"), image_score("unsafe", 0.6, producer="b")]
    assert judged(*scores, by_producer={"a": 0.8}) == "unsafe"
    assert judged(*scores, by_producer={"a": 0.8, "b": 0.6}) == ""


def test_the_value_of_a_verdict_is_the_highest_rejecting_score() -> None:
    scores = [image_score("unsafe", value, producer=name) for name, value in (("a", 0.9), ("b", 0.6), ("c", 0.7))]
    shard = record(image_scores=scores)
    verdict = judge(shard, images(shard), None, [("unsafe", unsafe, {"by_producer": {"a": 0.95}})])["image"][0].as_py()
    assert (verdict["value"], verdict["threshold"]) == (0.7, 0.5)


def test_an_image_without_a_score_passes_unless_drop_unmeasured() -> None:
    assert judged(image_score("sharpness", 9.0)) == ""
    assert judged(image_score("sharpness", 9.0), drop_unmeasured=True) == "unsafe.unmeasured"
    assert judged(image_score("unsafe", float("nan")), drop_unmeasured=True) == "unsafe.unmeasured"


def test_a_score_counts_only_for_its_own_image() -> None:
    shard = record(row("a"), row("b", image_scores=[image_score("unsafe", 0.9)]), row("c"))
    found = reasons(shard, unsafe)
    assert (found["a"], found["b"], found["c"]) == ("", "unsafe", "")
