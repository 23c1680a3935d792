"""What a round's merge does to one image whose student is written by hand, up to what is kept after it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any, cast

import pyarrow as pa

from engine.records.assemble import assemble
from engine.running.shard_inputs import ShardInputs
from engine.schema import Chunk, Complexity, Parse, record_table, text_key
from engine.storage.commits import Commits
from filters.judging.apply_rules import judge, keep
from pipelines.refine.merge import Merge
from pipelines.refine.merge_texts import diversity
from pipelines.refine.propose import EVIDENCE
from tests.builders import Row, images, phrase, record, region, region_text, row, text

IMAGE = "0" * 32
SAID = "student/"
BOX, MOVED, ELSEWHERE = (10, 10, 60, 60), (20, 20, 70, 70), (70, 70, 95, 95)
TASKS = {"tasks": ["<CAPTION>", "<REGION_TO_DESCRIPTION>"], "phrases": True, "synonyms": True}


class Done:
    """The record after the round, judged by no rule, and what is kept of it."""

    def __init__(self, merged: Mapping[str, pa.Table], before: pa.Table, counts: Mapping[str, Any]) -> None:
        texts = record_table([{**one, "regions": [], "region_texts": []} for one in before.to_pylist()])
        self.record = assemble([texts, merged["data"]])
        self.verdicts = judge(self.record, images(self.record), None, [], merged["decided"].to_pylist())
        self.kept: Row = keep(self.record, self.verdicts).to_pylist()[0]
        self.changes: list[Row] = merged["changes"].to_pylist()
        self.counts = counts

    def rules(self) -> list[tuple[str, str, str]]:
        return [(one["rule"], one["old"], one["new"]) for one in self.changes]

    def fate(self, name: str) -> str:
        found = self.verdicts.to_pylist()[0]
        lists = (found[column] for column in ("regions", "texts", "region_texts", "phrases"))
        return next(str(one["rule"]) for verdicts in lists for one in verdicts if one["id"] == name)

    def ids(self, column: str) -> list[str]:
        return [item["id"] for item in self.kept[column]]


def merged(
    given: Row,
    proposed: Mapping[str, Sequence[Row]],
    *,
    thinks: Mapping[str, float] | None = None,
    parses: Sequence[Parse] = (),
    written: Mapping[str, Any] | None = TASKS,
    **options: Any,
) -> Done:
    """`thinks`: probability of each text, given or proposed, .5 if not named. Of a given region the student thinks .5,
    of its own .9."""
    before = record(given | {"image_id": IMAGE})
    likely = dict(thinks or {})
    regions = [(one["id"], False, 0.5) for one in given.get("regions", ())]
    regions += [(one["id"], True, 0.9) for one in proposed.get("regions", ())]
    evidence = [
        {"image_id": IMAGE, "region_id": name, "proposed": own, "label": value, "location": value}
        for name, own, value in regions
    ]
    texts = [
        {"image_id": IMAGE, "text_id": one["id"], "mean_log_prob": math.log(likely.get(one["id"], 0.5))}
        for source in (given, proposed)
        for column in ("texts", "region_texts")
        for one in source.get(column, ())
    ]
    tables = {
        "model": before,
        "judge": judge(before, images(before), None, []),
        "propose": record(row(IMAGE, **{name: list(items) for name, items in proposed.items()})),
    }
    parts = {"evidence": pa.Table.from_pylist(evidence, EVIDENCE), "text_evidence": pa.Table.from_pylist(texts)}
    inputs = SimpleNamespace(
        images=images(before),
        table=tables.__getitem__,
        part=lambda name, part: parts[part],
        parses={parse.text_key: parse for parse in parses},
        unit=SimpleNamespace(revision=0),
    )
    made: dict[str, pa.Table] = {}
    commits = SimpleNamespace(put_table=lambda shard, table, revision, part="data": made.update({part: table}))
    columns = ["texts", "regions", "region_texts", "phrases"]
    component = Merge(
        name="merge",
        round_number=1,
        record=[["model", columns]],
        judge="judge",
        propose="propose",
        folds=2,
        options={"text_margin": 0.1, **options},
        held=[],
        written=written,
    )
    component.load()
    output = component.run(0, cast(ShardInputs, inputs), cast(Commits, commits))
    return Done(made, before, output.counts or {})


def parsed(words: str, *nouns: str) -> Parse:
    """Each of `nouns`, which stand in `words`, is a chunk."""
    chunks = [Chunk(words.index(noun), words.index(noun) + len(noun), noun, False, noun) for noun in nouns]
    none: list[str] = []
    counts = (8, 9, 1, none, none, none, none, none, none, Complexity(), Complexity(), chunks)
    return Parse(*counts, text_key=text_key(words))


def proposal(box: Sequence[float] = BOX, **given: Any) -> Row:
    return region(box, id=f"{SAID}0", producer="student", **given)


# --- regions, and what hangs on them ---------------------------------------------------------------


def outlined(box: Sequence[float] = BOX) -> Row:
    mask = region(id="m/mask", rle="rle", merged_into="m/cat")
    return row(regions=[region(id="m/cat"), mask], region_texts=[region_text("m/cat", id="m/said")])


def test_a_box_that_moves_loses_its_mask_and_the_changes_say_so() -> None:
    done = merged(outlined(), {"regions": [proposal(MOVED)]}, mask_iou=0.9)

    assert done.rules()[:2] == [("moved", "m/cat", "merge/0"), ("mask_lost", "m/cat", "merge/0")]
    assert [(one["id"], one["rle"]) for one in done.kept["regions"]] == [("merge/0", "")]
    assert done.fate("m/mask") == "merged"


def test_a_box_that_gets_another_name_where_it_is_keeps_its_mask() -> None:
    done = merged(outlined(), {"regions": [proposal(label="dog")]})

    assert done.rules() == [("relabelled", "m/cat", "merge/0")]
    assert [(one["label"], one["rle"]) for one in done.kept["regions"]] == [("dog", "rle")]


def test_texts_and_phrases_of_a_region_follow_it_to_what_it_became() -> None:
    given = outlined() | {
        "texts": [text("A cat.", id="m/text")],
        "phrases": [phrase("m/text", region_ids=["m/cat"], id="m/phrase")],
    }
    done = merged(given, {"regions": [proposal(MOVED)]})

    assert [one["region_id"] for one in done.kept["region_texts"]] == ["merge/0"]
    assert [one["region_ids"] for one in done.kept["phrases"]] == [["merge/0"]]


def test_nothing_points_to_a_region_that_went() -> None:
    given = outlined() | {
        "texts": [text("A cat.", id="m/text")],
        "phrases": [phrase("m/text", region_ids=["m/cat"], id="m/phrase")],
    }
    done = merged(given, {}, drop=0.6)

    assert done.fate("m/cat") == "refine.dropped"
    assert done.fate("m/said") == "region_dropped"
    assert done.kept["region_texts"] == []
    assert [one["region_ids"] for one in done.kept["phrases"]] == [[]]


def test_a_region_that_people_speak_of_is_not_dropped() -> None:
    given = row(regions=[region(id="m/cat")], region_texts=[region_text("m/cat", id="h/said", score=None)])

    done = merged(given, {}, drop=0.6)

    assert (done.rules(), done.fate("m/cat")) == ([], "")


# --- texts -----------------------------------------------------------------------------------------


CAT = "A cat."
GIVEN = row(
    regions=[region(id="m/cat")],
    texts=[text(CAT, id="m/text")],
    phrases=[phrase("m/text", 0, 5, ["m/cat"], id="m/phrase", score_kind="label_match")],
)


def draft(words: str, **given: Any) -> Row:
    return text(words, id=f"{SAID}1", producer="student", score=0.7, **given)


def test_a_likelier_text_takes_the_place_and_the_phrases_go_with_the_old_one() -> None:
    done = merged(GIVEN, {"texts": [draft("A dog.")]}, thinks={f"{SAID}1": 0.7}, max_briefs=1)

    assert done.rules() == [("rewritten", "m/text", "merge/0")]
    (new,) = done.kept["texts"]
    assert (new["text"], new["producer"], new["round"], new["score"]) == ("A dog.", "merge", 1, 0.7)
    assert new["parents"] == [f"{SAID}1"]  # not the one it replaces, which is dropped
    assert (done.fate("m/text"), done.fate("m/phrase")) == ("refine.rewritten", "text_dropped")
    assert done.changes[0]["old_label"] == CAT
    assert done.counts["texts"]["given"] == 1


def test_a_text_that_names_what_is_not_there_must_be_the_likelier() -> None:
    parses = [parsed(CAT, "A cat"), parsed("A dog.", "A dog")]

    done = merged(GIVEN, {"texts": [draft("A dog.")]}, thinks={f"{SAID}1": 0.9}, parses=parses, max_briefs=1)

    assert done.rules() == []


def test_both_are_grounded_in_the_regions_as_the_round_leaves_them() -> None:
    parses = [parsed(CAT, "A cat"), parsed("A dog.", "A dog")]
    proposed = {"regions": [proposal(label="dog")], "texts": [draft("A dog.")]}

    done = merged(GIVEN, proposed, parses=parses, max_briefs=1)

    assert ("rewritten", "m/text", "merge/1") in done.rules()
    (new,) = done.kept["phrases"]
    assert (new["text_id"], new["region_ids"], new["producer"]) == ("merge/1", ["merge/0"], "merge")


def test_a_phrase_matched_by_name_is_matched_again_where_its_region_got_another_name() -> None:
    done = merged(GIVEN, {"regions": [proposal(label="dog")]}, parses=[parsed(CAT, "A cat")])

    assert ("regrounded", "m/phrase", "merge/1") in done.rules()
    assert done.fate("m/phrase") == "refine.regrounded"
    assert [(one["id"], one["region_ids"]) for one in done.kept["phrases"]] == [("merge/1", [])]
    assert merged(GIVEN, {"regions": [proposal(MOVED)]}, parses=[parsed(CAT, "A cat")]).ids("phrases") == ["m/phrase"]


def test_a_phrase_that_no_name_matched_stays() -> None:
    given = GIVEN | {"phrases": [phrase("m/text", 0, 5, ["m/cat"], id="m/phrase", score_kind="token_probability")]}

    done = merged(given, {"regions": [proposal(label="dog")]}, parses=[parsed(CAT, "A cat")])

    assert [(one["id"], one["region_ids"]) for one in done.kept["phrases"]] == [("m/phrase", ["merge/0"])]


def test_people_s_texts_and_texts_that_people_speak_of_stay() -> None:
    written = GIVEN | {"texts": [text(CAT, id="m/text", score=None)]}
    spoken_of = GIVEN | {"phrases": [phrase("m/text", 0, 5, ["m/cat"], id="h/phrase", score=None)]}

    for given in (written, spoken_of):
        done = merged(given, {"texts": [draft("A dog.")]}, thinks={f"{SAID}1": 0.99}, max_briefs=1)
        assert (done.rules(), done.ids("texts")) == ([], ["m/text"])


def test_a_text_on_which_the_parser_broke_does_not_come_in() -> None:
    broken = parsed("A dog.")
    broken.failures = [cast(Any, "failed")]

    assert merged(GIVEN, {"texts": [draft("A dog.")]}, thinks={f"{SAID}1": 0.9}, parses=[broken]).rules() == []


def test_a_text_of_a_region_is_of_what_the_region_became() -> None:
    given = row(regions=[region(id="m/cat")], region_texts=[region_text("m/cat", "a cat", id="m/said")])
    said = region_text("m/cat", "a black cat", id=f"{SAID}1", producer="student", score=0.8)
    proposed = {"regions": [proposal(MOVED)], "region_texts": [said]}

    done = merged(given, proposed, thinks={f"{SAID}1": 0.8})

    assert done.rules() == [("moved", "m/cat", "merge/0"), ("rewritten", "m/said", "merge/1")]
    assert [(one["text"], one["region_id"]) for one in done.kept["region_texts"]] == [("a black cat", "merge/0")]
    assert done.fate("m/said") == "refine.rewritten"
    assert merged(given, {"region_texts": [said]}, drop=0.6).ids("region_texts") == []  # nor of one that went


def test_where_texts_take_no_part_none_changes() -> None:
    done = merged(GIVEN, {"regions": [proposal(label="dog")], "texts": [draft("A dog.")]}, written=None)

    assert done.rules() == [("relabelled", "m/cat", "merge/0")]
    assert "texts" not in done.counts


def test_captions_are_compared_equally_many() -> None:
    done = merged(GIVEN, {"texts": [draft("A cat. A cat. A cat.")]}, thinks={f"{SAID}1": 0.9})

    assert done.rules() == [("text_added", "", "merge/0")]
    before, after = done.counts["texts"]["distinct"]
    assert (done.counts["texts"]["captions"], before, after) == (1, 1.0, 0.4)


def test_shards_count_by_their_captions_and_those_without_any_not() -> None:
    told = [{"distinct": [1.0, 0.5], "captions": 3}, {"distinct": [0.6, 0.1], "captions": 1}]
    told.append({"distinct": [None, None], "captions": 0})

    assert diversity(told) == (0.9, 0.4)
    assert all(map(math.isnan, diversity(told[2:])))
