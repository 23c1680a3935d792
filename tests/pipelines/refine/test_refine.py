"""Rounds of refinement end to end, with students that have hardly learned and a merge that believes them anyway.

What good and bad students do to labels is tested in tests/refinement; here it is whether everything is on record.
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

from benchmarks.experiments.students import Oracle, use_student
from engine.errors import ConfigError
from engine.reading.accounting import account
from engine.reading.dataset import Dataset
from engine.reading.sql import query
from engine.storage.files import sha256_file
from pipelines.cli.commands import app
from pipelines.emit.verify import verify
from pipelines.explore.why import why
from pipelines.recipe import parse_recipe
from pipelines.refine.rows import KeptShard
from pipelines.stages.dry_run import dry_run
from pipelines.stages.run import Summary, run
from tests.runs import engine_in_background, release_files, wait_until, write_recipe

Data = dict[str, Any]
OPEN = {"min_agreement": 0.0, "max_dropped": 1.0, "max_relabelled": 1.0, "max_added": 20.0, "max_f1_fall": 1.0}
OPEN |= {"class_fall": 1.0, "min_right": 0.0}
BELIEVE = {"add": 0.0, "relabel": 0.0, "drop": 0.02}


def recipe_data(dataset: Path, **refine: Any) -> Data:
    return {
        "dataset": str(dataset),
        "ingest": {
            "sources": ["world://?images=40&size=64&words=0"],
            "shard_size": 20,
            "audit": {"fraction": 0.3},
        },
        "annotate": {"noisy": {"use": "noisy_annotator"}, "objects": {"use": "consensus"}},
        "filter": [{"min_score": {"floor": 0.35}}, {"nms": {"across": 0.5}}],
        "emit": {"name": "v1", "pairs": {"order": "reading", "tasks": ["<OD>"]}},
        "train": {"size": 64, "vocabulary": 300, "steps": 30, "batch_size": 4, "warmup": 2, "checkpoint_every": 4},
        "refine": {"rounds": 2, "steps_later": 8, "max_new_tokens": 40, "merge": BELIEVE, "gate": OPEN, **refine},
    }


def go(data: Data, stage: str | None = None) -> Summary:
    return run(parse_recipe(data), stage=stage, runner="local")


@pytest.fixture(scope="module")
def refined(tmp_path_factory: pytest.TempPathFactory) -> Data:
    """A data set after two accepted rounds."""
    data = recipe_data(tmp_path_factory.mktemp("refined") / "set")
    summary = go(data)
    assert [note for note in summary.notes if "accepted" in note], summary.notes
    assert [note for note in summary.notes if "F1@0.5" in note and " -> " in note], summary.notes
    return data


def asked(data: Data, sql: str) -> list[dict[str, Any]]:
    return query(Dataset.open(data["dataset"]), sql).to_pylist()


def decisions(data: Data) -> list[dict[str, Any]]:
    return [json.loads(path.read_bytes()) for path in sorted(Path(data["dataset"]).glob("rounds/*.json"))]


def current(data: Data) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path(data["dataset"], "current.json").read_bytes())
    return found


def test_two_rounds_are_part_of_the_data_set_and_it_adds_up(refined: Data) -> None:
    names = [node["name"] for node in current(refined)["nodes"]]

    assert names[-4:] == ["round-1-propose", "round-1-merge", "round-2-propose", "round-2-merge"]
    assert account(Dataset.open(refined["dataset"])).balanced
    assert all(check.ok for check in verify(f"{refined['dataset']}/releases/v1"))


def test_changes_per_rule_and_round_are_those_of_the_decisions(refined: Data) -> None:
    rows = asked(refined, "SELECT round, rule, count(*) AS n FROM changes GROUP BY ALL")

    told = {(one["round"], rule): number for one in decisions(refined) for rule, number in one["changes"].items()}
    assert {(row["round"], row["rule"]): row["n"] for row in rows} == told
    assert {"added"} <= {rule for _, rule in told}


def test_what_a_round_replaced_points_at_what_it_became(refined: Data) -> None:
    changes = asked(refined, "SELECT * FROM changes WHERE old <> ''")

    assert changes
    for change in changes:
        (old,) = asked(
            refined,
            f"SELECT kept, rule, merged_into FROM regions WHERE image_id = '{change['image_id']}'"
            f" AND annotation_id = '{change['old']}'",
        )
        if change["new"]:
            assert (old["kept"], old["rule"], old["merged_into"]) == (False, "merged", change["new"])
        else:
            assert (old["kept"], old["rule"]) == (False, f"refine.{change['rule']}")


def test_what_rules_dropped_before_a_round_stays_dropped_by_them(refined: Data) -> None:
    base = next(path.name for path in Path(refined["dataset"], "judge").iterdir() if _reads(refined, path) == 0)
    before = asked_of(refined, f"judge/{base}")
    after = asked(refined, "SELECT image_id, annotation_id, rule FROM regions WHERE NOT kept")

    now = {(row["image_id"], row["annotation_id"]): row["rule"] for row in after}
    dropped = [row for row in before if row["rule"] == "min_score"]
    assert dropped
    assert {now[row["image_id"], row["id"]] for row in dropped} == {"min_score"}


def _reads(data: Data, judge: Path) -> int:
    """How many rounds the verdicts in a folder come after."""
    record = json.loads(next(judge.glob("*.json")).read_bytes())
    return sum("-merge/" in path for path in record["inputs"])


def asked_of(data: Data, folder: str) -> list[dict[str, Any]]:
    rows = []
    for path in Path(data["dataset"], folder).glob("*.parquet"):
        for row in pq.read_table(path).to_pylist():
            rows += [{"image_id": row["image_id"], **verdict} for verdict in row["regions"]]
    return rows


def test_why_tells_the_round_its_student_and_its_rule(refined: Data) -> None:
    (row,) = asked(refined, "SELECT * FROM changes WHERE rule = 'moved' ORDER BY round LIMIT 1")

    told = str(why(Dataset.open(refined["dataset"]), row["image_id"], row["new"]))

    assert "proposed by  node 'round-" in told
    assert f"from         {row['old']}: object" in told
    assert "-propose/" in told
    assert f"changed in   round {row['round']}: {row['old']} became {row['new']}, moved" in told


def test_audit_images_are_never_trained_on(refined: Data) -> None:
    trained = {
        row["image_id"]
        for path in Path(refined["dataset"]).glob("round-*-pairs/*/*.parquet")
        for row in pq.read_table(path).to_pylist()
    }
    audit = {row["image_id"] for row in asked(refined, "SELECT image_id FROM images WHERE split <> 'train'")}

    assert audit
    assert trained
    assert not trained & audit


def test_a_student_looks_only_at_the_fold_it_did_not_learn(refined: Data) -> None:
    for model in Path(refined["dataset"], "models").glob("round-1-fold-*"):
        told = json.loads((model / "training.json").read_bytes())
        pairs = [
            row
            for path in Path(refined["dataset"]).glob("round-1-pairs/*/*.parquet")
            for row in pq.read_table(path).to_pylist()
        ]
        fold = int(model.name.split("-")[3])
        assert told["pairs"] == {"<OD>": sum(row["fold"] != fold for row in pairs)}


def test_the_same_command_again_does_nothing(refined: Data) -> None:
    before = _files(refined, "round-*/*/*")

    summary = go(refined)

    assert _files(refined, "round-*/*/*") == before
    assert not {name for name, tally in summary.tallies.items() if tally.units}


def _files(data: Data, pattern: str) -> dict[str, str]:
    folder = Path(data["dataset"])
    return {str(path.relative_to(folder)): sha256_file(str(path)) for path in folder.glob(pattern) if path.is_file()}


def test_other_rules_judge_what_the_rounds_made_without_training_again(refined: Data) -> None:
    models = _files(refined, "models/*/model.safetensors")
    stricter = copy.deepcopy(refined) | {"emit": refined["emit"] | {"name": "strict"}}
    stricter["filter"][0]["min_score"]["floor"] = 0.6

    go(stricter)

    assert _files(stricter, "models/*/model.safetensors") == models
    assert [node["name"] for node in current(stricter)["nodes"]][-1] == "round-2-merge"
    floors = asked(stricter, "SELECT min(score) AS low FROM regions WHERE kept")
    assert floors[0]["low"] >= 0.6
    go(refined)  # and back


def test_fewer_rounds_undo_the_last(refined: Data) -> None:
    before = _files(refined, "rounds/*")

    go(copy.deepcopy(refined) | {"refine": refined["refine"] | {"rounds": 1}}, "filter")

    assert [node["name"] for node in current(refined)["nodes"]][-1] == "round-1-merge"
    assert max(row["round"] for row in asked(refined, "SELECT round FROM regions")) == 1
    go(refined)
    assert [node["name"] for node in current(refined)["nodes"]][-1] == "round-2-merge"
    assert _files(refined, "rounds/*") == before


def test_a_round_that_is_refused_changes_nothing_and_says_why(refined: Data, tmp_path: Path) -> None:
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
    (told,) = decisions(strict)
    assert not told["accepted"]
    assert current(strict)["nodes"][-1]["name"] == "objects"
    assert asked(strict, "SELECT count(*) AS n FROM changes") == [{"n": 0}]
    assert dry_run(parse_recipe(strict))[-1].why == "up to date"  # and it is not tried again


class LooksElsewhere(Oracle):
    """Knows the truth, of the next image of the shard."""

    def _predict_batch(self, model: Any, rows: Any, kept: KeptShard, *rest: Any) -> None:
        ids = list(kept.images)
        elsewhere = copy.copy(kept)
        elsewhere.images = {ids[place - 1]: kept.images[image_id] for place, image_id in enumerate(ids)}
        super()._predict_batch(model, rows, elsewhere, *rest)


def test_the_gate_lets_one_who_knows_pass_and_one_who_looks_elsewhere_not(tmp_path: Path) -> None:
    data = recipe_data(tmp_path / "set", gate={}, merge={}, rounds=1)
    data["train"]["steps"] = 1
    before = copy.deepcopy(data) | {"refine": {"rounds": 0}, "emit": data["emit"] | {"name": "before"}}
    go(before)

    with use_student(LooksElsewhere):
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


def test_people_are_never_corrected(tmp_path: Path) -> None:
    data = recipe_data(tmp_path / "set", rounds=1)
    data["annotate"]["people"] = {"use": "human"}
    del data["annotate"]["noisy"]

    go(data)

    people = "SELECT image_id, label, x1, y1, x2, y2 FROM regions WHERE score IS NULL AND kept ORDER BY ALL"
    asked_for = asked(data, people)
    assert asked_for
    assert asked(data, "SELECT count(*) AS n FROM changes WHERE old <> ''") == [{"n": 0}]
    go(data | {"refine": {"rounds": 0}}, "filter")
    assert asked(data, people) == asked_for


def test_a_stage_alone_says_what_it_lacks(tmp_path: Path) -> None:
    data = recipe_data(tmp_path / "set")
    go(data, "ingest")

    with pytest.raises(ConfigError, match="--stage refine lacks 2 of 2 shards"):
        go(data, "refine")
    with pytest.raises(ConfigError, match="The recipe asks for no rounds"):
        go(data | {"refine": {"rounds": 0}}, "refine")


@pytest.mark.parametrize(
    ("refine", "said"),
    [
        ({"merge": {"match_iou": 0.7}}, r"merge\.nms is 0\.6"),
        ({"hold_labels": [["ball"]]}, "give pairs of two labels"),
        ({"tasks": ["<CAPTION>"]}, "<OD> must be among them"),
        ({"tasks": ["<OD>", "<CAPTOIN>"]}, "did you mean '<CAPTION>'"),
    ],
)
def test_what_cannot_be_meant_is_told_before_anything_is_made(tmp_path: Path, refine: Data, said: str) -> None:
    data = recipe_data(tmp_path / "set", **refine)

    with pytest.raises(ConfigError, match=said):
        go(data)
    assert not Path(data["dataset"]).exists()


def test_a_dry_run_foretells_the_rounds(tmp_path: Path) -> None:
    data = recipe_data(tmp_path / "set")
    go(data, "ingest")

    (row,) = [row for row in dry_run(parse_recipe(data)) if row.node == "refine"]

    assert (row.todo, row.shards) == (2, 2)
    assert row.why.startswith("2 students a round, 30 steps each")


def test_killed_in_the_second_round_and_run_again_it_is_the_same(refined: Data, tmp_path: Path) -> None:
    data = recipe_data(tmp_path / "set")
    recipe = str(write_recipe(tmp_path / "recipe.yaml", data))
    for sign in ("models/round-2-fold-0-*/checkpoints/*/state.json", "round-2-propose/*/*.json"):
        _kill_when(recipe, tmp_path / "set", sign)

    done = CliRunner().invoke(app, ["run", "-c", recipe, "--runner", "local"])

    assert done.exit_code == 0, done.output
    assert release_files(data["dataset"]) == release_files(refined["dataset"])
    assert _weights(data) == _weights(refined)


def _weights(data: Data) -> Sequence[str]:
    return sorted(_files(data, "models/round-*/model.safetensors").values())


def _kill_when(recipe: str, dataset: Path, sign: str) -> None:
    process = engine_in_background("run", "-c", recipe, "--runner", "local")
    wait_until(lambda: process.poll() is not None or any(dataset.glob(sign)))
    assert process.poll() is None, "it ended before it could be killed"
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def test_the_command_line_tells_each_round(refined: Data, tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path / "recipe.yaml", refined)

    result = CliRunner().invoke(app, ["run", "-c", str(recipe), "--stage", "refine", "--runner", "local"])

    assert result.exit_code == 0, result.output
    assert "round 1 accepted:" in result.output
    assert "round 2 accepted:" in result.output
