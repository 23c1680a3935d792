"""ungrounded_phrase: a phrase needs a region that is still kept."""

from __future__ import annotations

from filters.min_score import min_score
from filters.ungrounded_phrase import ungrounded_phrase
from tests.builders import phrase, reasons, record, region, text


def test_a_phrase_whose_regions_were_all_dropped_is_dropped() -> None:
    regions = [region(id="good"), region(id="bad", score=0.1)]
    phrases = [phrase("t", region_ids=["bad"], id="lost"), phrase("t", region_ids=["bad", "good"], id="held")]
    found = reasons(record(texts=[text(id="t")], regions=regions, phrases=phrases), min_score, ungrounded_phrase)
    assert (found["lost"], found["held"]) == ("ungrounded_phrase", "")


def test_a_phrase_that_names_no_region_or_an_unknown_one_is_dropped() -> None:
    phrases = [phrase("t", id="none"), phrase("t", region_ids=["nobody/1"], id="unknown")]
    found = reasons(record(texts=[text(id="t")], regions=[region()], phrases=phrases), ungrounded_phrase)
    assert (found["none"], found["unknown"]) == ("ungrounded_phrase", "ungrounded_phrase")


def test_a_merged_region_counts_as_the_one_it_was_merged_into() -> None:
    regions = [region(id="a", merged_into="b"), region(id="b", merged_into="c"), region(id="c")]
    shard = record(texts=[text(id="t")], regions=regions, phrases=[phrase("t", region_ids=["a", "b"], id="p")])
    assert reasons(shard, ungrounded_phrase)["p"] == ""
    assert reasons(shard, (ungrounded_phrase, {"min_regions": 2}))["p"] == "ungrounded_phrase"


def test_a_human_phrase_passes() -> None:
    shard = record(texts=[text(id="t")], phrases=[phrase("t", id="p", score=None)])
    assert reasons(shard, ungrounded_phrase)["p"] == ""
