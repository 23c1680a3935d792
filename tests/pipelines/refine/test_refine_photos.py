"""Rounds on real photos, by the recipe that ships: too few for a model from nothing, which the gate says.

With a checkpoint the recipe is the real thing; here that is a tiny one, random, by the way that any folder goes.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from engine.errors import ConfigError
from engine.reading.dataset import Dataset
from engine.reading.sql import query
from pipelines.recipe import Recipe, load_recipe
from pipelines.stages.dry_run import dry_run
from pipelines.stages.run import Summary, run
from tests.model.tiny import saved
from tests.runs import REPO, release_files
from tests.shared_data import shared

PHOTOS = {"folder": "${package:skimage}/data"} | {"include": ["astronaut.png", "chelsea.png", "coffee.png"]}
QUICK = {"train": {"steps": 2, "batch_size": 2}, "refine": {"max_new_tokens": 24}}
OPEN = {"min_agreement": 0.0, "max_dropped": 1.0, "max_added": 100.0}


def recipe(dataset: Path, source: Any = PHOTOS, *, audit: float = 0.0, **changes: Any) -> Recipe:
    """The recipe that ships, on these photos, with little training. `changes`: section__key."""
    own = {f"{section}.{key}": value for section, keys in QUICK.items() for key, value in keys.items()}
    own |= {"dataset": str(dataset), "ingest.sources": [source], "ingest.audit.fraction": audit}
    own |= {name.replace("__", "."): value for name, value in changes.items()}
    settings = [f"{name}={yaml.safe_dump(value, default_flow_style=True)}" for name, value in own.items()]
    return load_recipe(
        REPO / "pipelines/recipes/photos-refine.yaml", [text.removesuffix("\n...\n") for text in settings]
    )


def go(some: Recipe, stage: str | None = None) -> Summary:
    return run(some, stage=stage, runner="local")


def test_few_photos_teach_a_model_from_nothing_nothing_and_the_release_is_the_one_without(tmp_path: Path) -> None:
    summary = go(recipe(tmp_path / "with"))
    go(recipe(tmp_path / "without", refine__rounds=0))

    said = "\n".join(summary.notes)
    assert "round 1 REFUSED, the data set stays as it was: A student agrees with the labels of the fold" in said
    assert "below gate.min_agreement 0.25: it has not learned enough" in said
    assert "BIAS IS UNGUARDED" in said
    files = release_files(tmp_path / "with", "refined")
    assert {name.partition("-")[0] for name in files} == {"train", "pairs"}
    assert files == release_files(tmp_path / "without", "refined")


def test_labels_of_people_are_another_reason_to_refuse(tmp_path: Path) -> None:
    files = {"instances": str(_first_of_coco(tmp_path, 16)), "images": str(shared("coco/dev") / "images")}

    summary = go(recipe(tmp_path / "set", {"coco": files}, audit=0.4))

    said = "\n".join(summary.notes)
    assert "round 1 REFUSED" in said
    assert "audit images F1@0.5 falls from" in said
    assert "UNGUARDED" not in said
    people = query(Dataset.open(str(tmp_path / "set")), "SELECT count(*) AS n FROM regions WHERE score IS NULL")
    assert people["n"].to_pylist() == [0]  # they measure, and are in no release


def _first_of_coco(folder: Path, count: int) -> Path:
    told = json.loads((shared("coco/dev") / "instances.json").read_bytes())
    told["images"] = told["images"][:count]
    ids = {image["id"] for image in told["images"]}
    told["annotations"] = [one for one in told["annotations"] if one["image_id"] in ids]
    path = folder / "instances.json"
    path.write_text(json.dumps(told))
    return path


def test_with_a_checkpoint_students_of_round_one_begin_as_it_and_those_of_round_two_as_they_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = Path(saved(tmp_path / "released"))
    monkeypatch.chdir(tmp_path)
    keep = {"refine__merge__drop": 0.0, "refine__gate": OPEN, "refine__stop_when_changed_below": 0.0}

    summary = go(recipe(tmp_path / "set", train__init="released", refine__rounds=2, **keep))

    assert [note.partition(":")[0] for note in summary.notes if "accepted" in note] == [
        "round 1 accepted",
        "round 2 accepted",
    ]
    for fold in (0, 1):
        first, second = (_student(tmp_path / "set", number, fold) for number in (1, 2))
        told, later = (json.loads((folder / "training.json").read_bytes()) for folder in (first, second))
        assert (told["init"], later["init"]) == ("released", first.name)
        assert (told["course"]["auxiliary"], told["soft_locations"], told["fourier_locations"]) == (0, 0, False)
        assert told["course"]["learning_rate"] == later["course"]["learning_rate"] == 1e-5
        assert 0 < _apart(first, checkpoint) < 1e-4  # two steps at that rate; another first weight would be far
        assert 0 < _apart(second, first) < 1e-4
        assert not (first / "init").exists()
    assert _apart(_student(tmp_path / "set", 1, 0), _student(tmp_path / "set", 1, 1)) > 0


def _student(dataset: Path, number: int, fold: int) -> Path:
    (folder,) = dataset.glob(f"models/round-{number}-fold-{fold}-*")
    return folder


def _apart(one: Path, other: Path) -> float:
    """The largest difference of any weight."""
    from safetensors.numpy import load_file

    weights = [load_file(folder / "model.safetensors") for folder in (one, other)]
    assert weights[0].keys() == weights[1].keys()
    return max(float(abs(weights[0][name] - weights[1][name]).max()) for name in weights[0])


def _no_checkpoint(folder: Path) -> None:
    folder.mkdir()


def _another_kind(folder: Path) -> None:
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "bert"}')


def _without_weights(folder: Path) -> None:
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "florence2"}')


@pytest.mark.parametrize(
    ("make", "changes", "said"),
    [
        (lambda folder: None, {}, "No checkpoint at '.*mine'"),
        (_no_checkpoint, {}, "holds no config.json of a model: give the folder of a Florence-2"),
        (_another_kind, {}, "is a 'bert', expected a native 'florence2' checkpoint"),
        (_without_weights, {}, "holds no weights"),
        (saved, {"train__auxiliary": 1.0}, "train.auxiliary is for presets and models trained here"),
        (saved, {"train__vocabulary": 300}, "train.vocabulary and train.size are for presets"),
    ],
)
def test_what_is_no_checkpoint_is_told_before_anything_is_made(
    tmp_path: Path, make: Any, changes: dict[str, Any], said: str
) -> None:
    make(tmp_path / "mine")
    wrong = recipe(tmp_path / "set", train__init=str(tmp_path / "mine"), **changes)

    with pytest.raises(ConfigError, match=said):
        go(wrong)
    with pytest.raises(ConfigError, match=said):
        dry_run(wrong)
    assert not (tmp_path / "set").exists()


def test_a_data_set_that_is_refined_does_not_need_the_checkpoint_again(tmp_path: Path) -> None:
    checkpoint = Path(saved(tmp_path / "released"))
    some = recipe(tmp_path / "set", train__init=str(checkpoint), refine__gate=OPEN, refine__merge__drop=0.0)
    go(some)
    checkpoint.rename(tmp_path / "gone")

    assert not any(tally.units for tally in go(some).tallies.values())
    with pytest.raises(ConfigError, match="No checkpoint at"):
        go(some, "refine")
