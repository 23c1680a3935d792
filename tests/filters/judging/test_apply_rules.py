"""judge, keep and counts: the order of rules, their consistency, and that human annotations stay."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
import pyarrow as pa
import pytest

from engine.errors import ConfigError, EngineError
from engine.records.columns import ParsedTexts, Phrases, Regions, Texts
from engine.schema import RECORD
from filters.box_size import box_size
from filters.judging.apply_rules import judge
from filters.judging.keep import counts, keep
from filters.min_score import min_score
from filters.min_side import min_side
from filters.text_length import text_length
from filters.ungrounded_phrase import ungrounded_phrase
from filters.verdict import Rule, Verdict, needs_parse, reads
from tests.builders import (
    failure,
    image_score,
    images,
    parse,
    phrase,
    reasons,
    record,
    region,
    region_text,
    row,
    tag,
    text,
)

IMAGE = "0" * 32


def judged(shard: pa.Table, rules: Sequence[Rule], parses: pa.Table | None = None) -> pa.Table:
    return judge(shard, images(shard), parse() if parses is None else parses, [(r.__name__, r, {}) for r in rules])


def nothing_pleases(regions: Regions) -> Verdict:
    return Verdict(np.zeros(len(regions), np.bool_), "nothing_pleases")


def no_text_pleases(texts: Texts) -> Verdict:
    return Verdict(np.zeros(len(texts), np.bool_), "no_text_pleases")


def test_the_first_rule_that_rejects_gives_the_reason() -> None:
    shard = record(regions=[region((0, 0, 2, 2), id="a", score=0.1)])
    assert reasons(shard, min_score, box_size)["a"] == "min_score"
    assert reasons(shard, box_size, min_score)["a"] == "box_size.side"


def test_a_rule_gets_only_rows_that_are_still_kept() -> None:
    seen = []

    def watch(regions: Regions) -> Verdict:
        seen.append(regions.ids.to_pylist())
        return Verdict(np.ones(len(regions), np.bool_), "watch")

    reasons(record(regions=[region(id="a", score=0.1), region(id="b")]), watch, min_score, watch)
    assert seen == [["a", "b"], ["b"]]


def test_a_merged_region_is_dropped_before_all_rules() -> None:
    shard = record(regions=[region(id="a", merged_into="b", score=0.1), region(id="b")])
    assert reasons(shard, min_score)["a"] == "merged"


def test_an_image_with_a_failure_is_dropped_with_all_its_annotations() -> None:
    shard = record(row(failures=[failure()], tags=[tag(id="t")], regions=[region(id="h", score=None)]), row())
    found = reasons(shard)
    assert (found[IMAGE], found["t"], found["h"], found[f"{1:032x}"]) == (
        "failed",
        "image_dropped",
        "image_dropped",
        "",
    )


def test_annotations_of_every_kind_go_with_their_image() -> None:
    scores = [image_score(id="s")]
    shard = record(texts=[text(id="t")], tags=[tag(id="g")], image_scores=scores, phrases=[phrase("t", id="p")])
    found = reasons(shard, (min_side, {"pixels": 101}))
    assert found == {IMAGE: "min_side"} | dict.fromkeys(("t", "g", "s", "p"), "image_dropped")


def test_phrases_go_with_their_text_and_region_texts_with_their_region() -> None:
    shard = record(
        texts=[text(id="t")],
        phrases=[phrase("t", id="p")],
        regions=[region(id="a", merged_into="b"), region(id="b")],
        region_texts=[region_text("a", id="r")],
    )
    found = reasons(shard, no_text_pleases, nothing_pleases)
    assert (found["p"], found["r"]) == ("text_dropped", "region_dropped")
    assert reasons(shard)["r"] == ""


def test_a_text_or_phrase_whose_parent_does_not_exist_is_dropped() -> None:
    found = reasons(record(phrases=[phrase("gone", id="p")], region_texts=[region_text("gone", id="r")]))
    assert (found["p"], found["r"]) == ("text_dropped", "region_dropped")


def test_what_a_human_annotation_refers_to_is_kept() -> None:
    shard = record(
        texts=[text(id="t")],
        phrases=[phrase("t", id="p", score=None)],
        regions=[region(id="h", score=None, merged_into="b"), region(id="b"), region(id="c"), region(id="d")],
        region_texts=[region_text("c", id="r", score=None)],
    )
    found = reasons(shard, no_text_pleases, nothing_pleases)
    assert [found[name] for name in "tpbcrd"] == ["", "", "", "", "", "nothing_pleases"]


def test_value_and_threshold_are_null_for_kept_rows() -> None:
    shard = record(regions=[region(score=0.25), region()])
    dropped, kept = judged(shard, [min_score]).to_pylist()[0]["regions"]
    assert (dropped["kept"], dropped["value"], dropped["threshold"]) == (False, 0.25, 0.3)
    assert kept == {"id": "model/n1", "kept": True, "rule": "", "value": None, "threshold": None}


def test_the_signature_of_a_rule_shows_that_it_reads_the_parse() -> None:
    def words_only(phrases: Phrases, texts: Texts) -> None: ...

    def parsed_context(phrases: Phrases, texts: ParsedTexts) -> None: ...

    assert needs_parse(text_length)
    assert not needs_parse(min_score)
    assert needs_parse(cast(Rule, parsed_context))
    assert not needs_parse(cast(Rule, words_only))
    assert reads(ungrounded_phrase) == ("phrases", "regions")


def test_a_rule_without_the_parse_it_reads_is_refused() -> None:
    with pytest.raises(ConfigError, match="'long' reads parsed texts"):
        judge(record(), images(record()), None, [("long", text_length, {})])


def test_a_rule_that_judges_an_unknown_column_is_refused() -> None:
    def odd(region: Regions) -> None: ...

    with pytest.raises(ConfigError, match="did you mean 'regions'"):
        reads(cast(Rule, odd))


def test_the_error_for_a_wrong_number_of_verdicts_names_the_rule() -> None:
    def short(regions: Regions) -> Verdict:
        return Verdict(np.ones(1, np.bool_), "short")

    with pytest.raises(EngineError, match="'short' returned verdicts"):
        judged(record(regions=[region(), region()]), [short])


def test_keep_returns_the_kept_part_without_references_to_dropped_rows() -> None:
    shard = record(
        row(failures=[failure()]),
        row(
            texts=[text(id="t")],
            regions=[region(id="a", merged_into="b", support=["x"]), region(id="b"), region(id="c", score=0.1)],
            phrases=[phrase("t", region_ids=["a", "b", "c", "gone"], id="p")],
            region_texts=[region_text("a", id="r")],
        ),
    )
    left = keep(shard, judged(shard, [min_score]))
    assert left.schema == RECORD
    (image,) = left.to_pylist()
    assert [r["id"] for r in image["regions"]] == ["b"]
    assert image["phrases"][0]["region_ids"] == ["b"]
    assert image["region_texts"][0]["region_id"] == "b"
    assert image["failures"] == []


def test_keep_refuses_verdicts_on_another_record() -> None:
    verdicts = judged(record(row("a", regions=[region()])), [])
    with pytest.raises(EngineError, match="other images"):
        keep(record(row("b")), verdicts)
    with pytest.raises(EngineError, match="1 verdicts for 0 regions"):
        keep(record(row("a")), verdicts)


def test_counts_add_up_to_the_number_of_rows() -> None:
    shard = record(regions=[region(), region(score=0.1), region(score=0.2), region(merged_into="model/n0")])
    assert counts(judged(shard, [min_score]))["regions"] == {"kept": 1, "min_score": 2, "merged": 1}
