"""nms: within a class, then across classes; human boxes are never dropped; only the given kinds are compared."""

from __future__ import annotations

import pytest

from filters.judging.apply_rules import judge
from filters.nms import nms
from tests.builders import images, reasons, record, region, row

HALF = (10, 10, 60, 35)  # half of the builder's box: IoU .5


def test_the_weaker_of_two_boxes_of_a_class_is_dropped() -> None:
    found = reasons(record(regions=[region(id="weak", score=0.5), region(id="strong", score=0.6)]), nms)
    assert (found["weak"], found["strong"]) == ("nms.within", "")


def test_iou_at_the_threshold_is_enough() -> None:
    shard = record(regions=[region(id="a"), region(HALF, id="b", score=0.1)])
    assert reasons(shard, (nms, {"within": 0.5}))["b"] == "nms.within"
    assert reasons(shard, (nms, {"within": 0.51}))["b"] == ""


def test_other_classes_are_compared_by_the_higher_threshold() -> None:
    shard = record(regions=[region(id="a"), region(HALF, id="b", label="dog"), region(id="c", label="fox", score=0.1)])
    found = reasons(shard, nms)
    assert (found["a"], found["b"], found["c"]) == ("", "", "nms.across")


def test_a_box_dropped_within_its_class_drops_nothing_across() -> None:
    best, weaker = region((0, 0, 50, 50), id="a"), region((0, 0, 50, 80), id="b", score=0.8)
    other = region((0, 0, 50, 80), id="c", label="dog", score=0.7)
    found = reasons(record(regions=[best, weaker, other]), nms)
    assert (found["a"], found["b"], found["c"]) == ("", "nms.within", "")


def test_a_human_box_suppresses_any_other_and_is_never_dropped() -> None:
    humans = [region(id="h1", score=None), region(id="h2", score=None)]
    found = reasons(record(regions=[region(id="m", score=1.0), *humans]), nms)
    assert (found["m"], found["h1"], found["h2"]) == ("nms.within", "", "")


def test_equal_scores_keep_the_first() -> None:
    found = reasons(record(regions=[region(id="a"), region(id="b")]), nms)
    assert (found["a"], found["b"]) == ("", "nms.within")


def test_text_regions_are_compared_only_if_kinds_has_them() -> None:
    shard = record(regions=[region(id="a", kind="text"), region(id="b", kind="text")])
    assert reasons(shard, nms)["b"] == ""
    assert reasons(shard, (nms, {"kinds": ["object", "text"]}))["b"] == "nms.within"


def test_boxes_of_different_images_are_not_compared() -> None:
    found = reasons(record(row(regions=[region(id="a")]), row(regions=[region(id="b")])), nms)
    assert (found["a"], found["b"]) == ("", "")


def test_the_verdict_holds_the_iou() -> None:
    shard = record(regions=[region(), region(HALF, score=0.1)])
    verdict = judge(shard, images(shard), None, [("nms", nms, {})]).to_pylist()[0]["regions"][1]
    assert (verdict["value"], verdict["threshold"]) == (pytest.approx(0.5), 0.5)


def test_boxes_of_phrases_are_compared_only_if_kinds_has_them() -> None:
    """They have no label, and a box around a man and his horse is no duplicate of the horse."""
    boxes = [region(id="horse"), region(id="a", kind="phrase", label=""), region(id="b", kind="phrase", label="")]
    assert set(reasons(record(regions=boxes), nms).values()) == {""}
    assert reasons(record(regions=boxes), (nms, {"kinds": ["phrase"]}))["b"] == "nms.within"
