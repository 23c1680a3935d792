"""min_image_text_score: judges a text by the image score `image_text` that has it as its parent."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from engine.records.shard import Shard
from filters.judging.apply_rules import ShardJudgement
from filters.judging.needs import Given
from filters.judging.similarity import scored
from filters.min_image_text_score import min_image_text_score
from tests.builders import Row, image_score, images, reasons, record, row, text

RULE, FLOOR = "min_image_text_score", "min_image_text_score.floor"


def match(of: str, value: float, **given: Any) -> Row:
    return image_score("image_text", value, parents=[of], **given)


def judged(value: float, *, granularity: str = "brief", producer: str = "model", **options: Any) -> str:
    shard = record(texts=[text(granularity=granularity, id="t", producer=producer)], image_scores=[match("t", value)])
    return reasons(shard, (min_image_text_score, options))["t"]


def test_a_text_below_the_floor_is_dropped_and_one_at_the_floor_is_kept() -> None:
    assert judged(0.29, floor=0.3) == FLOOR
    assert judged(0.3, floor=0.3) == ""


def test_without_a_floor_only_texts_below_zero_are_dropped() -> None:
    assert judged(0.0) == ""
    assert judged(-0.01) == FLOOR


def test_the_floor_may_depend_on_granularity_and_producer() -> None:
    assert judged(0.2, granularity="detailed", floor={"detailed": 0.25}) == FLOOR
    assert judged(0.2, granularity="brief", floor={"detailed": 0.25}) == ""
    assert judged(0.2, producer="web", by_producer={"web": 0.25}) == FLOOR
    assert judged(0.2, producer="human", by_producer={"web": 0.25}) == ""


def test_each_text_has_its_own_score() -> None:
    texts = [text("a", id="t"), text("b", id="u"), text("c", id="v")]
    shard = record(
        row("x", texts=texts, image_scores=[match("u", 0.1), match("t", 0.9)]),
        row("y", texts=[text("a", id="t"), text("d", id="w")], image_scores=[match("t", 0.1), match("w", 0.9)]),
    )
    judgement = ShardJudgement(Shard(shard, images(shard)))
    _, floor = judgement.evaluate(RULE, min_image_text_score, {"floor": 0.5})
    assert np.asarray(floor.value).tolist() == pytest.approx([0.9, 0.1, np.nan, 0.1, 0.9], nan_ok=True)
    assert floor.keep.tolist() == [True, False, True, False, True]


def test_texts_are_found_after_another_rule_has_dropped_some() -> None:
    texts = [text("a", id="t", producer="web"), text("b", id="u")]
    shard = record(texts=texts, image_scores=[match("t", 0.1), match("u", 0.2)])
    first = (min_image_text_score, {"by_producer": {"web": 0.5}})
    found = reasons(shard, first, (min_image_text_score, {"floor": 0.15}))
    assert (found["t"], found["u"]) == (FLOOR, "")


def test_a_text_without_a_score_passes_unless_unmeasured_texts_are_to_be_dropped() -> None:
    other = [image_score("language", 0.1, parents=["t"]), match("r", 0.1)]
    shard = record(texts=[text(id="t"), text("b", id="h", score=None)], image_scores=other)
    assert reasons(shard, (min_image_text_score, {"floor": 0.5}))["t"] == ""
    found = reasons(shard, (min_image_text_score, {"drop_unmeasured": True}))
    assert (found["t"], found["h"]) == ("min_image_text_score.unmeasured", "")


def test_of_several_scores_the_lowest_counts_or_that_of_the_named_node() -> None:
    both = [match("t", 0.1, producer="clip"), match("t", 0.9, producer="names")]
    shard = record(texts=[text(id="t")], image_scores=both)
    assert reasons(shard, (min_image_text_score, {"floor": 0.5}))["t"] == FLOOR
    assert reasons(shard, (min_image_text_score, {"floor": 0.5, "scorer": "names"}))["t"] == ""


def test_a_human_text_passes_and_is_not_compared() -> None:
    shard = record(texts=[text(id="t", score=None)], image_scores=[match("t", 0.1)])
    assert reasons(shard, (min_image_text_score, {"floor": 0.5}))["t"] == ""
    _, floor = ShardJudgement(Shard(shard, images(shard))).evaluate(RULE, min_image_text_score, {"floor": 0.5})
    assert np.isnan(np.asarray(floor.value)).all()


def test_a_recipe_without_a_node_that_gives_the_score_is_refused() -> None:
    assert "which no node gives: add" in scored(Given({}), {"scorer": ""})
    assert scored(Given({"image_text": ("clip",)}), {"scorer": ""}) == ""
    assert scored(Given({}, other_scores=("own",)), {"scorer": ""}) == ""


def test_a_recipe_with_two_such_nodes_must_name_one() -> None:
    both = Given({"image_text": ("clip", "names")})
    assert "clip and names give on scales of their own" in scored(both, {"scorer": ""})
    assert scored(both, {"scorer": "names"}) == ""
    assert "of 'nams', but clip and names give it" in scored(both, {"scorer": "nams"}).replace("gives", "give")
