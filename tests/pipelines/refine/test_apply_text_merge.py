"""The merge of a round on texts and their phrases, up to what is kept after it."""

from __future__ import annotations

from typing import Any, cast

from tests.builders import Row, phrase, region, region_text, row, text
from tests.pipelines.refine.merging import MOVED, STUDENT, merge, parse, proposal

CAT = "A cat."
GIVEN = row(
    regions=[region(id="m/cat")],
    texts=[text(CAT, id="m/text")],
    phrases=[phrase("m/text", 0, 5, ["m/cat"], id="m/phrase", score_kind="label_match")],
)


def draft(words: str, **given: Any) -> Row:
    return text(words, id=f"{STUDENT}1", producer="student", score=0.7, **given)


def test_a_likelier_text_replaces_the_old_one_and_its_phrases() -> None:
    done = merge(GIVEN, {"texts": [draft("A dog.")]}, likelihoods={f"{STUDENT}1": 0.7}, max_briefs=1)

    assert done.rules() == [("rewritten", "m/text", "merge/0")]
    (new,) = done.kept["texts"]
    assert (new["text"], new["producer"], new["round"], new["score"]) == ("A dog.", "merge", 1, 0.7)
    assert new["parents"] == [f"{STUDENT}1"]  # the replaced text is no parent: it is dropped
    assert (done.verdict("m/text"), done.verdict("m/phrase")) == ("refine.rewritten", "text_dropped")
    assert done.changes[0]["old_label"] == CAT
    assert done.counts["texts"]["given"] == 1


def test_a_text_that_names_no_region_of_the_image_does_not_win() -> None:
    parses = [parse(CAT, "A cat"), parse("A dog.", "A dog")]

    done = merge(GIVEN, {"texts": [draft("A dog.")]}, likelihoods={f"{STUDENT}1": 0.9}, parses=parses, max_briefs=1)

    assert done.rules() == []


def test_old_and_new_texts_are_grounded_in_the_merged_regions() -> None:
    parses = [parse(CAT, "A cat"), parse("A dog.", "A dog")]
    proposed = {"regions": [proposal(label="dog")], "texts": [draft("A dog.")]}

    done = merge(GIVEN, proposed, parses=parses, max_briefs=1)

    assert ("rewritten", "m/text", "merge/1") in done.rules()
    (new,) = done.kept["phrases"]
    assert (new["text_id"], new["region_ids"], new["producer"]) == ("merge/1", ["merge/0"], "merge")


def test_a_phrase_matched_by_label_is_matched_again_when_the_label_changes() -> None:
    done = merge(GIVEN, {"regions": [proposal(label="dog")]}, parses=[parse(CAT, "A cat")])

    assert ("regrounded", "m/phrase", "merge/1") in done.rules()
    assert done.verdict("m/phrase") == "refine.regrounded"
    assert [(one["id"], one["region_ids"]) for one in done.kept["phrases"]] == [("merge/1", [])]
    assert merge(GIVEN, {"regions": [proposal(MOVED)]}, parses=[parse(CAT, "A cat")]).ids("phrases") == ["m/phrase"]


def test_a_phrase_not_matched_by_label_stays() -> None:
    given = GIVEN | {"phrases": [phrase("m/text", 0, 5, ["m/cat"], id="m/phrase", score_kind="token_probability")]}

    done = merge(given, {"regions": [proposal(label="dog")]}, parses=[parse(CAT, "A cat")])

    assert [(one["id"], one["region_ids"]) for one in done.kept["phrases"]] == [("m/phrase", ["merge/0"])]


def test_texts_by_people_and_texts_with_phrases_by_people_stay() -> None:
    written = GIVEN | {"texts": [text(CAT, id="m/text", score=None)]}
    with_phrase = GIVEN | {"phrases": [phrase("m/text", 0, 5, ["m/cat"], id="h/phrase", score=None)]}

    for given in (written, with_phrase):
        done = merge(given, {"texts": [draft("A dog.")]}, likelihoods={f"{STUDENT}1": 0.99}, max_briefs=1)
        assert (done.rules(), done.ids("texts")) == ([], ["m/text"])


def test_a_text_on_which_the_parser_failed_is_not_added() -> None:
    broken = parse("A dog.")
    broken.failures = [cast(Any, "failed")]

    assert merge(GIVEN, {"texts": [draft("A dog.")]}, likelihoods={f"{STUDENT}1": 0.9}, parses=[broken]).rules() == []


def test_a_text_of_a_region_belongs_to_its_successor() -> None:
    given = row(regions=[region(id="m/cat")], region_texts=[region_text("m/cat", "a cat", id="m/described")])
    new = region_text("m/cat", "a black cat", id=f"{STUDENT}1", producer="student", score=0.8)
    proposed = {"regions": [proposal(MOVED)], "region_texts": [new]}

    done = merge(given, proposed, likelihoods={f"{STUDENT}1": 0.8})

    assert done.rules() == [("moved", "m/cat", "merge/0"), ("rewritten", "m/described", "merge/1")]
    assert [(one["text"], one["region_id"]) for one in done.kept["region_texts"]] == [("a black cat", "merge/0")]
    assert done.verdict("m/described") == "refine.rewritten"
    assert merge(given, {"region_texts": [new]}, drop=0.6).ids("region_texts") == []  # the region was dropped


def test_without_text_tasks_no_text_changes() -> None:
    done = merge(GIVEN, {"regions": [proposal(label="dog")], "texts": [draft("A dog.")]}, written=None)

    assert done.rules() == [("relabelled", "m/cat", "merge/0")]
    assert "texts" not in done.counts


def test_equally_many_captions_are_compared() -> None:
    done = merge(GIVEN, {"texts": [draft("A cat. A cat. A cat.")]}, likelihoods={f"{STUDENT}1": 0.9})

    assert done.rules() == [("text_added", "", "merge/0")]
    before, after = done.counts["texts"]["distinct"]
    assert (done.counts["texts"]["captions"], before, after) == (1, 1.0, 0.4)
