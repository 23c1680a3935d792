"""When a round is refused or not started, and that people's labels never change."""

from __future__ import annotations

import copy
import shutil
from pathlib import Path
from typing import Any

import pytest

from benchmarks.experiments.students import Oracle, use_student
from engine.errors import ConfigError
from pipelines.recipe import parse_recipe
from pipelines.refine.rows import KeptShard
from pipelines.stages.dry_run import dry_run
from tests.pipelines.refine.small_set import BELIEVE, Data, current, decisions, go, query_rows, recipe_data
from tests.runs import release_files


def test_a_refused_round_changes_nothing_and_prints_the_reason(tmp_path: Path) -> None:
    data = recipe_data(tmp_path / "set", gate={}, rounds=0)
    data["train"]["steps"] = 4
    go(data)
    kept = release_files(data["dataset"])
    strict = copy.deepcopy(data) | {
        "refine": {"rounds": 2, "merge": BELIEVE, "max_new_tokens": 40},
        "emit": data["emit"] | {"name": "v2"},
    }

    summary = go(strict)

    assert any("round 1 REFUSED" in note and "gate.min_agreement" in note for note in summary.notes)
    assert release_files(data["dataset"], "v2") == kept
    (decision,) = decisions(strict)
    assert not decision["accepted"]
    assert current(strict)["nodes"][-1]["name"] == "objects"
    assert query_rows(strict, "SELECT count(*) AS n FROM changes") == [{"n": 0}]
    assert dry_run(parse_recipe(strict))[-1].why == "up to date"  # the round is not tried again


class WrongImages(Oracle):
    """Gives the truth of the next image of the shard."""

    def _predict_batch(self, model: Any, rows: Any, kept: KeptShard, *rest: Any) -> None:
        ids = list(kept.images)
        shifted = copy.copy(kept)
        shifted.images = {ids[row - 1]: kept.images[image_id] for row, image_id in enumerate(ids)}
        super()._predict_batch(model, rows, shifted, *rest)


def test_the_gate_accepts_a_perfect_student_and_refuses_one_with_wrong_images(tmp_path: Path) -> None:
    data = recipe_data(tmp_path / "set", gate={}, merge={}, rounds=1)
    data["train"]["steps"] = 1
    before = copy.deepcopy(data) | {"refine": {"rounds": 0}, "emit": data["emit"] | {"name": "before"}}
    go(before)

    with use_student(WrongImages):
        refused = go(data)
    assert any("gate.min_agreement" in note for note in refused.notes), refused.notes
    assert release_files(data["dataset"]) == release_files(data["dataset"], "before")

    for folder in ("round-1-propose", "round-1-merge"):
        shutil.rmtree(tmp_path / "set" / folder)
    again = copy.deepcopy(data) | {"emit": data["emit"] | {"name": "after"}}
    again["refine"]["gate"] = {"max_added": 1.5}  # another gate, another decision
    with use_student(Oracle):
        accepted = go(again)
    assert any("round 1 accepted" in note for note in accepted.notes), accepted.notes
    assert release_files(data["dataset"], "after") != release_files(data["dataset"], "before")


def test_labels_by_people_never_change(tmp_path: Path) -> None:
    data = recipe_data(tmp_path / "set", rounds=1)
    data["annotate"]["people"] = {"use": "human"}
    del data["annotate"]["noisy"]

    go(data)

    people = "SELECT image_id, label, x1, y1, x2, y2 FROM regions WHERE score IS NULL AND kept ORDER BY ALL"
    labels = query_rows(data, people)
    assert labels
    assert query_rows(data, "SELECT count(*) AS n FROM changes WHERE old <> ''") == [{"n": 0}]
    go(data | {"refine": {"rounds": 0}}, "filter")
    assert query_rows(data, people) == labels


def test_the_refine_stage_alone_names_what_is_missing(tmp_path: Path) -> None:
    data = recipe_data(tmp_path / "set")
    go(data, "ingest")

    with pytest.raises(ConfigError, match="--stage refine lacks 2 of 2 shards"):
        go(data, "refine")
    with pytest.raises(ConfigError, match="The recipe asks for no rounds"):
        go(data | {"refine": {"rounds": 0}}, "refine")


@pytest.mark.parametrize(
    ("refine", "message"),
    [
        ({"merge": {"match_iou": 0.7}}, r"merge\.nms' in recipe is 0\.6"),
        ({"hold_labels": [["ball"]]}, "give pairs of two labels"),
        ({"tasks": ["<CAPTION>"]}, "<OD> must be among them"),
        ({"tasks": ["<OD>", "<CAPTOIN>"]}, "did you mean '<CAPTION>'"),
    ],
)
def test_impossible_options_are_refused_before_anything_is_made(tmp_path: Path, refine: Data, message: str) -> None:
    data = recipe_data(tmp_path / "set", **refine)

    with pytest.raises(ConfigError, match=message):
        go(data)
    assert not Path(data["dataset"]).exists()


def test_a_dry_run_lists_the_rounds(tmp_path: Path) -> None:
    data = recipe_data(tmp_path / "set")
    go(data, "ingest")

    (row,) = [row for row in dry_run(parse_recipe(data)) if row.node == "refine"]

    assert (row.todo, row.shards) == (2, 2)
    assert row.why.startswith("2 students a round, 16 steps each")
