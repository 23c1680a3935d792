"""Annotations that were made from dropped ones are dropped too, except human annotations."""

from __future__ import annotations

import numpy as np

from engine.records.columns import Regions
from filters.judging.apply_rules import judge
from filters.min_score import min_score
from filters.ungrounded_image import ungrounded_image
from filters.verdict import Verdict
from tests.builders import images, phrase, reasons, record, region, region_text, text

FLOOR = (min_score, {"floor": 0.5})


def test_every_text_and_phrase_made_from_a_dropped_region_is_dropped() -> None:
    shard = record(
        regions=[region(id="good"), region(id="bad", score=0.1)],
        texts=[text(id="t1", parents=["good"]), text(id="t2", parents=["good", "bad"]), text(id="t3")],
        region_texts=[region_text("good", id="r", parents=["bad"])],
        phrases=[
            phrase("t1", id="p1", region_ids=["good"], parents=["t1", "good"]),
            phrase("t1", id="p2", region_ids=["good", "bad"], parents=["t1", "good", "bad"]),
            phrase("t2", id="p3", region_ids=["good"], parents=["t2", "good"]),
        ],
    )
    found = reasons(shard, FLOOR)
    assert {name: found[name] for name in ("t1", "t2", "t3", "r", "p1", "p2", "p3")} == {
        "t1": "",
        "t2": "parent_dropped",
        "t3": "",
        "r": "parent_dropped",
        "p1": "",
        "p2": "parent_dropped",
        "p3": "text_dropped",
    }


def test_a_text_made_from_a_dropped_text_is_dropped() -> None:
    shard = record(
        regions=[region(id="bad", score=0.1)],
        texts=[text(id="a", parents=["bad"]), text(id="b", parents=["a"]), text(id="c", parents=["b"])],
    )
    found = reasons(shard, FLOOR)
    assert [found[name] for name in "abc"] == ["parent_dropped"] * 3


def test_a_merged_parent_counts_as_the_region_it_was_merged_into() -> None:
    shard = record(
        regions=[
            region(id="a", merged_into="b", score=0.1),
            region(id="b"),
            region(id="c", merged_into="d"),
            region(id="d", score=0.1),
        ],
        texts=[text(id="t", parents=["a"]), text(id="u", parents=["c"])],
    )
    found = reasons(shard, FLOOR)
    assert (found["t"], found["u"]) == ("", "parent_dropped")


def test_a_text_made_from_a_region_that_a_round_renamed_is_dropped() -> None:
    shard = record(
        regions=[
            region(id="a", merged_into="m/0"),
            region(id="b", merged_into="m/1"),
            region(id="m/0", label="dog", round=1),
            region((0, 0, 9, 9), id="m/1", round=1),
        ],
        texts=[text(id="t", parents=["a"]), text(id="u", parents=["b"])],
    )
    found = reasons(shard)
    assert (found["t"], found["u"]) == ("parent_renamed", "")


def test_a_merge_by_consensus_with_another_label_is_no_renaming() -> None:
    shard = record(
        regions=[region(id="a", label="kitty", merged_into="b"), region(id="b")], texts=[text(id="t", parents=["a"])]
    )
    assert reasons(shard)["t"] == ""


def test_human_annotations_and_what_they_refer_to_stay() -> None:
    shard = record(
        regions=[region(id="bad", score=0.1)],
        texts=[text(id="h", parents=["bad"], score=None), text(id="s", parents=["bad"])],
        phrases=[phrase("s", id="p", score=None)],
    )
    found = reasons(shard, FLOOR)
    assert [found[name] for name in "hsp"] == ["", "", ""]


def test_a_later_rule_gets_only_what_is_left() -> None:
    shard = record(
        regions=[region(id="good"), region(id="bad", score=0.1)],
        texts=[text(id="t", parents=["bad"])],
        phrases=[phrase("t", id="p", region_ids=["good"], parents=["t", "good"])],
    )
    assert reasons(shard, FLOOR, ungrounded_image)["0" * 32] == "ungrounded_image"


def one_is_enough(regions: Regions) -> Verdict:
    return Verdict(np.arange(len(regions)) < 1, "one_is_enough", 1.0, 2.0)


def test_earlier_verdicts_are_copied_with_their_numbers() -> None:
    regions = [region(id="a"), region(id="b"), region(id="h", score=None)]
    first = judge(record(regions=regions), images(record(regions=regions)), None, [("one", one_is_enough, {})])
    whole = record(regions=[region(id="new"), *reversed(regions)], texts=[text(id="t", parents=["b"])])

    (row,) = judge(whole, images(whole), None, [], earlier=first).to_pylist()

    verdicts = {one["id"]: (one["rule"], one["value"], one["threshold"]) for one in row["regions"]}
    assert verdicts["b"] == ("one_is_enough", 1.0, 2.0)
    assert {name for name, one in verdicts.items() if one[0] == ""} == {"new", "a", "h"}
    assert [one["rule"] for one in row["texts"]] == ["parent_dropped"]
