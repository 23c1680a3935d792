"""min_phrase_score: floors by granularity of the text and by producer of the phrase."""

from __future__ import annotations

from typing import Any

import pytest

from filters.min_phrase_score import min_phrase_score
from tests.builders import phrase, reasons, record, text


def judged(score: float | None, granularity: str = "brief", producer: str = "dino", **options: Any) -> str:
    shard = record(
        texts=[text(granularity=granularity, id="t")], phrases=[phrase("t", id="p", score=score, producer=producer)]
    )
    return reasons(shard, (min_phrase_score, options))["p"]


@pytest.mark.parametrize(("score", "reason"), [(0.25, ""), (0.24, "min_phrase_score"), (None, "")])
def test_the_floor_is_inclusive_and_humans_pass(score: float | None, reason: str) -> None:
    assert judged(score) == reason


def test_a_granularity_may_have_its_own_floor_and_the_others_keep_theirs() -> None:
    assert judged(0.3, "detailed", floor={"detailed": 0.4}) == "min_phrase_score"
    assert judged(0.3, "brief", floor={"detailed": 0.4}) == ""


def test_a_producer_may_have_its_own_floor() -> None:
    assert judged(0.3, by_producer={"dino": 0.35}) == "min_phrase_score"
    assert judged(0.3, by_producer={"dino": {"more_detailed": 0.35}}) == ""
    assert judged(0.3, producer="glip", by_producer={"dino": 0.35}) == ""
