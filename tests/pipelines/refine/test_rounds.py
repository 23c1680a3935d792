"""Rounds end to end, with barely trained students and a merge that accepts all they propose.

The effect of good and bad students on labels is tested in tests/refinement; these tests are about the records.
"""

from __future__ import annotations

import copy
import json
import os
import shutil
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from engine.reading.accounting import account
from engine.reading.dataset import Dataset
from engine.storage.files import sha256_file
from pipelines.check.check import check
from pipelines.cli.commands import app
from pipelines.emit.verify import verify
from pipelines.explore.why import why
from pipelines.filter.rule_values import rule_values
from pipelines.recipe import parse_recipe
from pipelines.removal.remove import remove
from tests.engine.reading.tables import table, values
from tests.pipelines.refine.small_set import Data, current, decisions, go, query_rows, recipe_data
from tests.pipelines.removal.small_set import committed_rows
from tests.runs import engine_in_background, release_files, wait_until, write_recipe


@pytest.fixture(scope="module")
def refined(tmp_path_factory: pytest.TempPathFactory) -> Data:
    """A data set with two accepted rounds."""
    data = recipe_data(tmp_path_factory.mktemp("refined") / "set")
    summary = go(data)
    assert [note for note in summary.notes if "accepted" in note], summary.notes
    assert [note for note in summary.notes if "F1@0.5" in note and " -> " in note], summary.notes
    return data


def test_two_rounds_are_part_of_the_data_set_and_all_annotations_are_accounted_for(refined: Data) -> None:
    names = [node["name"] for node in current(refined)["nodes"]]

    assert names[-4:] == ["round-1-propose", "round-1-merge", "round-2-propose", "round-2-merge"]
    assert account(Dataset.open(refined["dataset"])).balanced
    assert all(check.ok for check in verify(f"{refined['dataset']}/releases/v1"))


def test_changes_per_rule_and_round_equal_those_in_the_decisions(refined: Data) -> None:
    rows = query_rows(refined, "SELECT round, rule, count(*) AS n FROM changes GROUP BY ALL")

    expected = {(one["round"], rule): number for one in decisions(refined) for rule, number in one["changes"].items()}
    assert {(row["round"], row["rule"]): row["n"] for row in rows} == expected
    assert {"added"} <= {rule for _, rule in expected}


def test_the_report_has_the_rounds_and_the_values_that_the_rules_compared_after_them(refined: Data) -> None:
    dataset = Dataset.open(refined["dataset"])

    expected = [
        (one["round"], "accepted", rule, number)
        for one in decisions(refined)
        for rule, number in one["changes"].items()
    ]
    rows = table(dataset, "round_changes")
    assert sorted(values(rows, "round", "decision", "change", "number")) == sorted(expected)
    assert all(row["kept"] is not None and row["kept"] <= row["number"] for row in rows)
    assert {row["figure"] for row in table(dataset, "round_scores")} >= {"F1@0.5", "F1@0.75"}
    found = rule_values(dataset)  # empty if the rules, applied again, did not give the committed verdicts
    assert {"min_score"} <= set(found["rule"].to_pylist())


def test_a_replaced_region_points_at_its_successor(refined: Data) -> None:
    changes = query_rows(refined, "SELECT * FROM changes WHERE old <> ''")

    assert changes
    for change in changes:
        (old,) = query_rows(
            refined,
            f"SELECT kept, rule, merged_into FROM regions WHERE image_id = '{change['image_id']}'"
            f" AND annotation_id = '{change['old']}'",
        )
        if change["new"]:
            assert (old["kept"], old["rule"], old["merged_into"]) == (False, "merged", change["new"])
        else:
            assert (old["kept"], old["rule"]) == (False, f"refine.{change['rule']}")


def test_regions_dropped_by_rules_before_a_round_stay_dropped_by_them(refined: Data) -> None:
    base = next(path.name for path in Path(refined["dataset"], "judge").iterdir() if _reads(refined, path) == 0)
    before = verdicts_in(refined, f"judge/{base}")
    after = query_rows(refined, "SELECT image_id, annotation_id, rule FROM regions WHERE NOT kept")

    now = {(row["image_id"], row["annotation_id"]): row["rule"] for row in after}
    dropped = [row for row in before if row["rule"] == "min_score"]
    assert dropped
    assert {now[row["image_id"], row["id"]] for row in dropped} == {"min_score"}


def _reads(data: Data, judge: Path) -> int:
    """How many rounds came before the verdicts in a folder."""
    record = json.loads(next(judge.glob("*.json")).read_bytes())
    return sum("-merge/" in path for path in record["inputs"])


def verdicts_in(data: Data, folder: str) -> list[dict[str, Any]]:
    rows = []
    for path in Path(data["dataset"], folder).glob("*.parquet"):
        for row in pq.read_table(path).to_pylist():
            rows += [{"image_id": row["image_id"], **verdict} for verdict in row["regions"]]
    return rows


def test_why_shows_the_round_the_student_and_the_rule(refined: Data) -> None:
    (row,) = query_rows(refined, "SELECT * FROM changes WHERE rule = 'moved' ORDER BY round LIMIT 1")

    text = str(why(Dataset.open(refined["dataset"]), row["image_id"], row["new"]))

    assert "proposed by  node 'round-" in text
    assert f"from         {row['old']}: object" in text
    assert "-propose/" in text
    assert f"changed in   round {row['round']}: {row['old']} became {row['new']}, moved" in text


def test_audit_images_are_never_trained_on(refined: Data) -> None:
    trained = {
        row["image_id"]
        for path in Path(refined["dataset"]).glob("round-*-pairs/*/*.parquet")
        for row in pq.read_table(path).to_pylist()
    }
    audit = {row["image_id"] for row in query_rows(refined, "SELECT image_id FROM images WHERE split <> 'train'")}

    assert audit
    assert trained
    assert not trained & audit


def test_a_student_is_trained_on_the_other_folds_only(refined: Data) -> None:
    for model in Path(refined["dataset"], "models").glob("round-1-fold-*"):
        training = json.loads((model / "training.json").read_bytes())
        pairs = [
            row
            for path in Path(refined["dataset"]).glob("round-1-pairs/*/*.parquet")
            for row in pq.read_table(path).to_pylist()
        ]
        fold = int(model.name.split("-")[3])
        assert training["pairs"] == {"<OD>": sum(row["fold"] != fold for row in pairs)}


def test_the_same_command_again_does_nothing(refined: Data) -> None:
    before = _files(refined, "round-*/*/*")

    summary = go(refined)

    assert _files(refined, "round-*/*/*") == before
    assert not {name for name, tally in summary.tallies.items() if tally.units}


def _files(data: Data, pattern: str) -> dict[str, str]:
    folder = Path(data["dataset"])
    return {str(path.relative_to(folder)): sha256_file(str(path)) for path in folder.glob(pattern) if path.is_file()}


def test_changed_rules_judge_the_rounds_without_training_again(refined: Data) -> None:
    models = _files(refined, "models/*/model.safetensors")
    stricter = copy.deepcopy(refined) | {"emit": refined["emit"] | {"name": "strict"}}
    stricter["filter"][0]["min_score"]["floor"] = 0.6

    go(stricter)

    assert _files(stricter, "models/*/model.safetensors") == models
    assert [node["name"] for node in current(stricter)["nodes"]][-1] == "round-2-merge"
    floors = query_rows(stricter, "SELECT min(score) AS low FROM regions WHERE kept")
    assert floors[0]["low"] >= 0.6
    go(refined)  # and back


def test_lowering_the_number_of_rounds_undoes_the_last(refined: Data) -> None:
    before = _files(refined, "rounds/*")

    go(copy.deepcopy(refined) | {"refine": refined["refine"] | {"rounds": 1}}, "filter")

    assert [node["name"] for node in current(refined)["nodes"]][-1] == "round-1-merge"
    assert max(row["round"] for row in query_rows(refined, "SELECT round FROM regions")) == 1
    go(refined)
    assert [node["name"] for node in current(refined)["nodes"]][-1] == "round-2-merge"
    assert _files(refined, "rounds/*") == before


def test_a_run_killed_in_the_second_round_resumes_with_the_same_result(refined: Data, tmp_path: Path) -> None:
    data = recipe_data(tmp_path / "set")
    recipe = str(write_recipe(tmp_path / "recipe.yaml", data))
    for path_pattern in ("models/round-2-fold-0-*/checkpoints/*/state.json", "round-2-propose/*/*.json"):
        _kill_when(recipe, tmp_path / "set", path_pattern)

    done = CliRunner().invoke(app, ["run", "-c", recipe, "--runner", "inline"])

    assert done.exit_code == 0, done.output
    assert release_files(data["dataset"]) == release_files(refined["dataset"])
    assert _weights(data) == _weights(refined)


def test_an_image_is_removed_from_rounds_without_training_again(refined: Data, tmp_path: Path) -> None:
    shutil.copytree(refined["dataset"], tmp_path / "set")
    data = {**refined, "dataset": str(tmp_path / "set"), "emit": {**refined["emit"], "name": "v2"}}
    (row,) = query_rows(data, "SELECT image_id FROM pairs ORDER BY image_id LIMIT 1")
    before = committed_rows(tmp_path / "set", [row["image_id"]])
    (tmp_path / "ids.txt").write_text(row["image_id"])

    removal = remove(parse_recipe(data), str(tmp_path / "ids.txt"))

    assert removal.ok, str(removal)
    assert removal.intention is not None
    assert {reason for reason in removal.intention.models.values() if "started" not in reason} <= {
        f"was trained on {folder}" for folder in _pairs_folders(data)
    }
    assert removal.intention.models
    assert committed_rows(tmp_path / "set") == before
    assert check(data["dataset"]).findings == []
    assert set(go(data).tallies) == {"emit"}


def _pairs_folders(data: Data) -> set[str]:
    return {
        str(path.parent.relative_to(data["dataset"])) for path in Path(data["dataset"]).glob("round-*-pairs/*/*.json")
    }


def _weights(data: Data) -> Sequence[str]:
    return sorted(_files(data, "models/round-*/model.safetensors").values())


def _kill_when(recipe: str, dataset: Path, path_pattern: str) -> None:
    process = engine_in_background("run", "-c", recipe, "--runner", "inline")
    wait_until(lambda: process.poll() is not None or any(dataset.glob(path_pattern)))
    assert process.poll() is None, "the run ended before it could be killed"
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def test_the_command_prints_each_round(refined: Data, tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path / "recipe.yaml", refined)

    result = CliRunner().invoke(app, ["run", "-c", str(recipe), "--stage", "refine", "--runner", "inline"])

    assert result.exit_code == 0, result.output
    assert "round 1 accepted:" in result.output
    assert "round 2 accepted:" in result.output
