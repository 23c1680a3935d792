"""Texts in a round end to end, with barely trained students and a merge that accepts all they propose.

The captions are random sentences, so that no student can make them worse.
"""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from engine.reading.accounting import account
from engine.reading.dataset import Dataset
from engine.reading.sql import named_query, query
from pipelines.annotate.annotation_nodes import annotation_nodes
from pipelines.emit.verify import verify
from pipelines.explore.why import why
from pipelines.filter.judge import judge_node
from pipelines.recipe import Recipe, parse_recipe
from pipelines.refine.nodes import given_node, merge_node, propose_node
from pipelines.refine.standing import options_digest
from tests.pipelines.refine.small_set import BELIEVE, OPEN, Data, decisions, go, query_rows, recipe_data

TEXTS = "SELECT image_id, annotation_id, text, kept FROM texts WHERE score IS NULL ORDER BY ALL"


@pytest.fixture(scope="module")
def rewritten(tmp_path_factory: pytest.TempPathFactory) -> Data:
    """A data set with one accepted round."""
    data = recipe_data(tmp_path_factory.mktemp("rewritten") / "set", rounds=1)
    data["ingest"]["sources"] = ["world://?images=24&size=64&words=0&max_objects=1"]
    captioner = {"use": "fake_captioner"}
    data["annotate"] = {
        "noisy": {"use": "noisy_annotator"},
        "people": {"use": "human"},
        "captions": captioner,
        "others": captioner | {"seed": 1},
        "parse": {"use": "spacy_parse"},
        "grounder": {"use": "label_grounder"},
        "objects": {"use": "consensus"},
    }
    data["emit"]["pairs"]["tasks"] = ["<OD>", "<CAPTION>"]
    data["train"]["steps"] = 20
    data["refine"] |= {"tasks": ["<OD>", "<CAPTION>", "<REGION_TO_DESCRIPTION>"], "max_new_tokens": 24}
    data["refine"] |= {"merge": BELIEVE | {"text_margin": 0.0}, "gate": OPEN | {"max_added": 1000.0}}
    summary = go(data)
    assert [note for note in summary.notes if "accepted" in note], summary.notes
    return data


def changes(data: Data, rule: str) -> list[dict[str, Any]]:
    return query_rows(data, f"SELECT * FROM changes WHERE rule = '{rule}' ORDER BY ALL")


def test_all_annotations_are_accounted_for_and_the_release_is_sound(rewritten: Data) -> None:
    counts = account(Dataset.open(rewritten["dataset"]))

    assert counts.balanced
    assert {"refine.rewritten", "refine.text_dropped"} <= set(counts.annotations["texts"].outcomes)
    assert counts.annotations["phrases"].outcomes["text_dropped"]  # phrases of dropped texts
    assert all(check.ok for check in verify(f"{rewritten['dataset']}/releases/v1"))
    assert query(Dataset.open(rewritten["dataset"]), named_query("texts_with_dropped_parents")).num_rows == 0


def test_a_replaced_text_has_a_verdict_and_a_new_one_is_kept(rewritten: Data) -> None:
    rows_by_id = {
        (row["image_id"], row["annotation_id"]): row
        for column in ("texts", "region_texts")
        for row in query_rows(rewritten, f"SELECT image_id, annotation_id, text, kept, rule FROM {column}")
    }

    for rule in ("rewritten", "text_dropped", "text_added"):
        assert changes(rewritten, rule)
        for change in changes(rewritten, rule):
            old, new = (rows_by_id.get((change["image_id"], change[name])) for name in ("old", "new"))
            if old:
                assert (old["kept"], old["rule"], old["text"]) == (False, f"refine.{rule}", change["old_label"])
            if new:
                assert (new["kept"], new["text"], change["kept"]) == (True, change["new_label"], True)
            assert bool(old) == bool(change["old"])
            assert bool(new) == bool(change["new"])
    (decision,) = decisions(rewritten)
    rows = query_rows(rewritten, "SELECT rule, count(*) AS n FROM changes GROUP BY ALL")
    assert {row["rule"]: row["n"] for row in rows} == decision["changes"]


def test_why_shows_the_round_the_student_and_the_rule(rewritten: Data) -> None:
    change = changes(rewritten, "rewritten")[0]
    dataset = Dataset.open(rewritten["dataset"])

    text = str(why(dataset, change["image_id"], change["new"]))
    assert f"{change['old']} became {change['new']}, rewritten" in text
    assert "proposed by  node 'round-1-propose'" in text
    assert f"changed in   round 1: {change['old']} became {change['new']}, rewritten" in text
    assert "dropped by refine.rewritten" in str(why(dataset, change["image_id"], change["old"]))


def test_texts_by_people_never_change(rewritten: Data) -> None:
    texts = query_rows(rewritten, TEXTS)

    assert texts
    assert all(row["kept"] for row in texts)
    assert query_rows(rewritten, "SELECT * FROM texts WHERE score IS NULL AND round > 0") == []
    undone = copy.deepcopy(rewritten) | {"refine": rewritten["refine"] | {"rounds": 0}}
    go(undone, "filter")
    assert query_rows(undone, TEXTS) == texts
    go(rewritten)  # and back


def test_an_image_keeps_max_briefs_brief_texts(rewritten: Data) -> None:
    numbers = "SELECT image_id, count(*) AS n FROM texts WHERE kept AND granularity = 'brief' GROUP BY ALL"

    assert {row["n"] for row in query_rows(rewritten, numbers)} == {2}


def test_new_texts_are_parsed_and_have_phrases(rewritten: Data) -> None:
    new = query_rows(rewritten, "SELECT text, text_key FROM texts WHERE round = 1 AND kept")

    parsed = {row["text_key"] for row in query_rows(rewritten, "SELECT text_key FROM parse")}
    assert new
    assert {row["text_key"] for row in new} <= parsed
    phrases = query_rows(
        rewritten,
        "SELECT count(*) AS n FROM phrases p JOIN texts t ON t.image_id = p.image_id AND t.annotation_id = p.text_id"
        " WHERE p.round = 1 AND p.kept AND t.round = 1 AND t.kept",
    )
    assert phrases[0]["n"]


def test_texts_of_regions_belong_to_kept_regions(rewritten: Data) -> None:
    lost = "SELECT t.* FROM region_texts t ANTI JOIN regions r ON r.image_id = t.image_id"
    lost += " AND r.annotation_id = t.region_id AND r.kept WHERE t.kept"

    assert query_rows(rewritten, "SELECT count(*) AS n FROM region_texts WHERE kept AND round = 1")[0]["n"]
    assert query_rows(rewritten, lost) == []


def test_captions_of_audit_images_are_measured_but_not_trained_on(rewritten: Data) -> None:
    (decision,) = decisions(rewritten)
    trained = {
        row["image_id"]
        for path in Path(rewritten["dataset"]).glob("round-*-pairs/*/*.parquet")
        for row in pq.read_table(path, columns=["image_id", "task"]).to_pylist()
        if row["task"] == "<CAPTION>"
    }
    audit = {row["image_id"] for row in query_rows(rewritten, "SELECT image_id FROM images WHERE split <> 'train'")}

    assert {"brief CIDEr-D before", "brief CIDEr-D after", "texts changed"} <= set(decision["measures"])
    assert decision["measures"]["diversity before"] > 0
    assert audit
    assert trained
    assert not trained & audit


def test_the_same_command_again_does_nothing(rewritten: Data) -> None:
    assert not {name for name, tally in go(rewritten).tallies.items() if tally.units}


# --- keys -----------------------------------------------------------------------------------------


def keys(recipe: Recipe, student: Path) -> list[str]:
    nodes = annotation_nodes(recipe)
    given = given_node(judge_node(recipe, nodes), 1)
    propose = propose_node(recipe, nodes, given, 1, [student.name])
    return [propose.key, merge_node(recipe, nodes, given, propose, None, 1).key, options_digest(recipe)]


def test_options_of_texts_are_part_of_a_key_only_where_texts_take_part(tmp_path: Path) -> None:
    student = tmp_path / "student"
    student.mkdir()
    (student / "training.json").write_text(json.dumps({"key": "k"}))
    data = recipe_data(tmp_path)

    def made(**refine: Any) -> list[str]:
        return keys(parse_recipe(data | {"refine": {"rounds": 1, **refine}}), student)

    boxes, margin = made(), {"merge": {"text_margin": 0.5}}
    assert made(**margin) == boxes
    texts = made(tasks=["<OD>", "<CAPTION>"])
    assert not set(texts) & set(boxes)
    changed = made(tasks=["<OD>", "<CAPTION>"], **margin)
    assert changed[0] == texts[0]
    assert not set(changed[1:]) & set(texts)
