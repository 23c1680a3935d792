"""Texts name kept regions only. If other regions are kept, texts are written again without running a detector."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.experiments.students import Oracle, use_student
from engine.reading.accounting import account
from engine.reading.dataset import Dataset
from engine.reading.sql import named_query, query
from pipelines.explore.why import why
from pipelines.recipe import Recipe, parse_recipe
from pipelines.stages.dry_run import dry_run
from pipelines.stages.run import run
from pipelines.stages.what_if import what_if
from pipelines.stages.what_if_text import render_what_if
from tests.pipelines.refine.small_set import recipe_data
from tests.runs import commits
from tests.shared_data import shared

NAMES_DROPPED_REGION = """SELECT count(*) AS n FROM kept.{} t, unnest(t.parents) u(p)
    JOIN regions r ON r.image_id = t.image_id AND r.annotation_id = u.p WHERE NOT r.kept"""
WRITTEN = ("judge-regions", "captions", "parse-captions", "phrases", "judge")


def data(dataset: Path, floor: float = 0.3, *rules: Any) -> dict[str, Any]:
    """A recipe with three detectors, their consensus, the texts written about it, and printed words."""
    return {
        "dataset": str(dataset),
        "ingest": {"sources": ["world://?images=12&size=64&words=1"], "shard_size": 6},
        "annotate": {
            **{f"detector-{n}": {"use": "noisy_annotator", "seed": n} for n in range(3)},
            "objects": {"use": "consensus"},
            "captions": {"use": "composer"},
            "parse": {"use": "spacy_parse"},
            "phrases": {"use": "label_grounder"},
        },
        "filter": [{"min_score": {"floor": floor}}, "nms", *rules, "ungrounded_phrase"],
        "emit": {"name": ""},
    }


def recipe(dataset: Path, floor: float = 0.3, *rules: Any) -> Recipe:
    return parse_recipe(data(dataset, floor, *rules))


def number(dataset: Path, sql: str) -> int:
    return int(query(Dataset.open(str(dataset)), sql).to_pylist()[0]["n"])


def made_from_what_is_dropped(dataset: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = query(
        Dataset.open(str(dataset)), named_query("texts_with_dropped_parents")
    ).to_pylist()
    return rows


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    dataset = tmp_path_factory.mktemp("follow") / "set"
    run(recipe(dataset), runner="inline")
    return dataset


@pytest.fixture
def again(finished: Path, tmp_path: Path) -> Path:
    import shutil

    shutil.copytree(finished, tmp_path / "set")
    return tmp_path / "set"


def test_kept_annotations_are_made_from_kept_ones(finished: Path) -> None:
    assert made_from_what_is_dropped(finished) == []
    assert number(finished, "SELECT count(*) AS n FROM texts WHERE NOT kept") == 0  # none about a dropped region
    assert number(finished, "SELECT count(*) AS n FROM kept.texts") > 0
    assert number(finished, "SELECT count(*) AS n FROM regions WHERE rule = 'min_score'") > 0
    assert account(Dataset.open(str(finished))).balanced


def test_a_higher_floor_writes_texts_again_and_runs_no_detector(again: Path) -> None:
    other = recipe(again, 0.8)
    todo_by_node = {row.node: row.todo for row in dry_run(other) if row.node not in ("probe", "emit")}
    assert {name for name, todo in todo_by_node.items() if todo} == set(WRITTEN)
    before = number(again, "SELECT count(*) AS n FROM kept.texts WHERE granularity = 'brief'")
    detected = commits(again, "detector-0")
    summary = run(other, stage="filter", runner="inline")
    assert set(summary.tallies) == set(WRITTEN)
    assert commits(again, "detector-0") == detected
    assert made_from_what_is_dropped(again) == []
    after = number(again, "SELECT count(*) AS n FROM kept.texts WHERE granularity = 'brief'")
    assert 0 < after <= before
    assert number(again, "SELECT count(*) AS n FROM texts WHERE NOT kept") == 0
    assert account(Dataset.open(str(again))).balanced


def test_a_rule_over_texts_writes_nothing_again(again: Path) -> None:
    other = recipe(again, 0.3, {"text_length": {"min_tokens": 4}})
    todo = {row.node for row in dry_run(other) if row.todo and row.node != "emit"}
    assert todo == {"judge"}


def test_a_rule_over_the_whole_set_drops_texts_about_the_regions_it_drops(again: Path) -> None:
    run(recipe(again, 0.3, {"min_score": {"floor": {"quantile": 0.5}}}), stage="filter", runner="inline")
    assert made_from_what_is_dropped(again) == []
    assert number(again, "SELECT count(*) AS n FROM texts WHERE rule = 'parent_dropped'") > 0
    assert number(again, "SELECT count(*) AS n FROM phrases WHERE rule = 'parent_dropped'") > 0
    dataset = Dataset.open(str(again))
    text = query(dataset, "SELECT * FROM texts WHERE rule = 'parent_dropped' ORDER BY ALL").to_pylist()[0]
    explained = str(why(dataset, text["image_id"], text["annotation_id"]))
    assert "parent_dropped" in explained.splitlines()[0]
    assert "because      objects/" in explained
    assert "dropped by min_score" in explained


def test_the_what_if_of_another_floor_is_right_and_writes_nothing(again: Path) -> None:
    other = recipe(again, 0.8)
    found = what_if(other)
    assert found.rewritten == ["captions", "parse-captions", "phrases"]
    assert found.columns["texts"].rules["parent_dropped"][1] > 0
    assert "captions, parse-captions, phrases would run again" in render_what_if(found)
    run(other, stage="filter", runner="inline")
    assert what_if(other).same
    regions = what_if(recipe(again, 0.3)).columns["regions"]  # from there, looking back
    assert (regions.now, regions.then) == (found.columns["regions"].then, found.columns["regions"].now)


def test_recipes_without_a_writer_have_one_pass(tmp_path: Path) -> None:
    plain = copy.deepcopy(data(tmp_path / "set"))
    for name in ("captions", "parse", "phrases"):
        del plain["annotate"][name]
    plain["filter"] = plain["filter"][:2]
    run(parse_recipe(plain), runner="inline")
    assert not (tmp_path / "set" / "judge-regions").exists()


def test_captions_after_a_round_are_about_its_regions(tmp_path: Path) -> None:
    given = recipe_data(tmp_path / "set", rounds=1, folds=1, merge={}, gate={"max_added": 1.5})
    given["ingest"]["sources"] = ["world://?images=16&size=64&words=0"]
    written = data(tmp_path)["annotate"]
    given["annotate"] |= {name: written[name] for name in ("captions", "parse", "phrases")}
    given["train"]["steps"] = 1
    dataset = tmp_path / "set"

    with use_student(Oracle):
        run(parse_recipe(given), runner="inline")

    assert {"relabelled", "added"} <= {
        row["rule"] for row in query(Dataset.open(str(dataset)), "SELECT DISTINCT rule FROM changes").to_pylist()
    }
    assert made_from_what_is_dropped(dataset) == []
    for column in ("texts", "region_texts", "phrases"):  # no text names a merged region
        assert number(dataset, NAMES_DROPPED_REGION.format(column)) == 0
    producers = query(Dataset.open(str(dataset)), "SELECT DISTINCT producer FROM texts ORDER BY ALL").to_pylist()
    assert [row["producer"] for row in producers] == ["round-1-captions"]
    assert number(dataset, "SELECT count(*) AS n FROM kept.texts") > 0
    assert number(dataset, "SELECT count(*) AS n FROM kept.phrases WHERE producer = 'round-1-phrases'") > 0
    assert account(Dataset.open(str(dataset))).balanced
    assert not [row for row in dry_run(parse_recipe(given)) if row.todo]
    given["filter"][0] = {"min_score": {"floor": 0.9}}
    run(parse_recipe(given), stage="filter", runner="inline")
    assert made_from_what_is_dropped(dataset) == []


def test_a_higher_floor_rewrites_texts_about_three_real_detectors(tmp_path: Path) -> None:
    photos, weights = shared("coco/dev"), shared("weights")
    labels = json.loads((photos / "instances.json").read_text())
    labels["images"] = labels["images"][:5]
    (tmp_path / "instances.json").write_text(json.dumps(labels))
    given = data(tmp_path / "set", 0.3, "text_length", "min_complexity")
    given["ingest"]["sources"] = [{"coco": {"instances": f"{tmp_path}/instances.json", "images": f"{photos}/images"}}]
    for n in range(3):
        del given["annotate"][f"detector-{n}"]
    for head, file in (("yolox", "yolox_nano_coco80_416"), ("nanodet", "nanodet_m_coco80_416")):
        given["annotate"][head] = {"use": "onnx_detector", "head": head, "weights": f"{weights}/{file}.onnx"}
    given["annotate"]["ssd"] = {"use": "ssd_mobilenet", "min_score": 0.05}
    for floor in (0.3, 0.6):
        given["filter"][0] = {"min_score": {"floor": floor}}
        run(parse_recipe(given), runner="inline", stage=None if floor == 0.3 else "filter")
        assert made_from_what_is_dropped(tmp_path / "set") == []
        assert number(tmp_path / "set", NAMES_DROPPED_REGION.format("texts")) == 0
        assert number(tmp_path / "set", "SELECT count(*) AS n FROM kept.texts") > 0
