"""Rounds on real photos with the packaged recipe. The gate refuses them: there are too few photos for a new model.

Other tests start from a checkpoint: a tiny random one, given as a folder.
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
    """The packaged recipe on these photos, with little training. changes: as section__key."""
    own = {f"{section}.{key}": value for section, keys in QUICK.items() for key, value in keys.items()}
    own |= {"dataset": str(dataset), "ingest.sources": [source], "ingest.audit.fraction": audit}
    own |= {name.replace("__", "."): value for name, value in changes.items()}
    settings = [f"{name}={yaml.safe_dump(value, default_flow_style=True)}" for name, value in own.items()]
    return load_recipe(
        REPO / "pipelines/recipes/photos-refine.yaml", [text.removesuffix("\n...\n") for text in settings]
    )


def go(some: Recipe, stage: str | None = None) -> Summary:
    return run(some, stage=stage, runner="inline")


def test_an_untrained_model_learns_nothing_from_few_photos_and_the_release_does_not_change(tmp_path: Path) -> None:
    go(recipe(tmp_path / "set", refine__rounds=0, emit__name="before"))
    summary = go(recipe(tmp_path / "set"))

    text = "\n".join(summary.notes)
    assert "round 1 REFUSED, the data set stays as it was: A student agrees with the labels of the fold" in text
    assert "below gate.min_agreement 0.25: it has not learned enough" in text
    assert "BIAS IS UNGUARDED" in text
    files = release_files(tmp_path / "set", "refined")
    assert {name.partition("-")[0] for name in files} == {"train", "pairs"}
    assert files == release_files(tmp_path / "set", "before")


def test_labels_of_people_give_another_reason_to_refuse(tmp_path: Path) -> None:
    files = {"instances": str(_first_of_coco(tmp_path, 16)), "images": str(shared("coco/dev") / "images")}

    summary = go(recipe(tmp_path / "set", {"coco": files}, audit=0.4))

    text = "\n".join(summary.notes)
    assert "round 1 REFUSED" in text
    assert "audit images F1@0.5 falls from" in text
    assert "UNGUARDED" not in text
    people = query(Dataset.open(str(tmp_path / "set")), "SELECT count(*) AS n FROM regions WHERE score IS NULL")
    assert people["n"].to_pylist() == [0]  # they are used to measure and are in no release


def _first_of_coco(folder: Path, count: int) -> Path:
    content = json.loads((shared("coco/dev") / "instances.json").read_bytes())
    content["images"] = content["images"][:count]
    ids = {image["id"] for image in content["images"]}
    content["annotations"] = [one for one in content["annotations"] if one["image_id"] in ids]
    path = folder / "instances.json"
    path.write_text(json.dumps(content))
    return path


def test_students_of_round_one_start_from_the_checkpoint_and_those_of_round_two_from_round_one(
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
        training, later = (json.loads((folder / "training.json").read_bytes()) for folder in (first, second))
        assert (training["init"], later["init"]) == ("released", first.name)
        assert (training["soft_locations"], training["fourier_locations"]) == (0, False)
        assert training["course"]["auxiliary"] == 0
        assert training["course"]["learning_rate"] == later["course"]["learning_rate"] == 1e-5
        assert 0 < _apart(first, checkpoint) < 1e-4  # two steps at that rate; other initial weights would differ more
        assert 0 < _apart(second, first) < 1e-4
        assert not (first / "init").exists()
    assert _apart(_student(tmp_path / "set", 1, 0), _student(tmp_path / "set", 1, 1)) > 0


def _student(dataset: Path, number: int, fold: int) -> Path:
    (folder,) = dataset.glob(f"models/round-{number}-fold-{fold}-*")
    return folder


def _apart(one: Path, other: Path) -> float:
    """The largest difference between two weights."""
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
    ("make", "changes", "text"),
    [
        (lambda folder: None, {}, "No checkpoint at '.*mine'"),
        (_no_checkpoint, {}, "holds no config.json of a model: give the folder of a Florence-2"),
        (_another_kind, {}, "is a 'bert', expected a native 'florence2' checkpoint"),
        (_without_weights, {}, "holds no weights"),
        (saved, {"train__auxiliary": 1.0}, "train.auxiliary is for presets and models trained here"),
        (saved, {"train__vocabulary": 300}, "train.vocabulary and train.size are for presets"),
    ],
)
def test_a_wrong_checkpoint_is_refused_before_anything_is_made(
    tmp_path: Path, make: Any, changes: dict[str, Any], text: str
) -> None:
    make(tmp_path / "mine")
    wrong = recipe(tmp_path / "set", train__init=str(tmp_path / "mine"), **changes)

    with pytest.raises(ConfigError, match=text):
        go(wrong)
    with pytest.raises(ConfigError, match=text):
        dry_run(wrong)
    assert not (tmp_path / "set").exists()


def test_a_refined_data_set_does_not_need_the_checkpoint_again(tmp_path: Path) -> None:
    checkpoint = Path(saved(tmp_path / "released"))
    some = recipe(tmp_path / "set", train__init=str(checkpoint), refine__gate=OPEN, refine__merge__drop=0.0)
    go(some)
    checkpoint.rename(tmp_path / "gone")

    assert not any(tally.units for tally in go(some).tallies.values())
    with pytest.raises(ConfigError, match="No checkpoint at"):
        go(some, "refine")
