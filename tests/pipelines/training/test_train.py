"""`engine train` on a small release: by the command line, on Ray, killed and resumed, and its error messages."""

from __future__ import annotations

import copy
import json
import os
import shutil
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from engine.errors import ConfigError, DamageError, RunFailed
from engine.storage.files import sha256_file
from model.training.job import Progress
from model.training.on_ray import ray_worker
from pipelines.cli.commands import app
from pipelines.recipe import parse_recipe
from pipelines.training.progress_line import TrainingLine
from pipelines.training.train import TrainingResult, train
from tests.runs import engine_in_background, wait_until, write_recipe

Data = dict[str, Any]
TRAIN = {"size": 64, "vocabulary": 300, "steps": 8, "batch_size": 4, "warmup": 2, "checkpoint_every": 3}
FREE = {"size": 0, "vocabulary": 0}
SMALL = {"auxiliary": 1.0, "fourier_locations": True, "soft_locations": 20.0}  # what small models need for noise


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Data:
    """A recipe whose data set has the release `truth`."""
    folder = tmp_path_factory.mktemp("train")
    data = {
        "dataset": str(folder / "set"),
        "ingest": {"sources": ["world://?images=12&size=64&words=0"]},
        "annotate": {"people": {"use": "human"}, "captions": {"use": "source_texts"}},
        "emit": {"name": "truth", "pairs": {"order": "reading", "tasks": ["<OD>", "<CAPTION>"]}},
        "train": dict(TRAIN),
    }
    recipe = write_recipe(folder / "recipe.yaml", data)
    result = CliRunner().invoke(app, ["run", "-c", str(recipe), "--runner", "inline"])
    assert result.exit_code == 0, result.output
    return data


def with_train(data: Data, **changes: Any) -> Data:
    data = copy.deepcopy(data)
    data["train"] |= changes
    return data


def run(data: Data, runner: str = "inline", **changes: Any) -> TrainingResult:
    return train(parse_recipe(with_train(data, **changes)), runner=runner)


def weights(data: Data, name: str) -> str:
    return sha256_file(str(Path(data["dataset"], "models", name, "model.safetensors")))


@pytest.fixture(scope="module")
def trained(released: Data) -> TrainingResult:
    return run(released, name="first")


def test_a_model_is_saved_with_the_record_of_its_training(released: Data, trained: TrainingResult) -> None:
    folder = Path(released["dataset"], trained.folder)
    shown = json.loads((folder / "training.json").read_bytes())
    losses = [row for path in sorted(folder.glob("losses/*.parquet")) for row in pq.read_table(path).to_pylist()]

    assert {path.name for path in folder.iterdir()} >= {"config.json", "model.safetensors", "tokenizer.json"}
    assert list(folder.glob("checkpoints/*")) == []
    assert shown["pairs"] == {"<CAPTION>": 12, "<OD>": 12}
    assert shown["parameters"] == pytest.approx(1_000_000, rel=0.1)
    assert {row["step"] for row in losses} == set(range(8))
    assert {row["task"] for row in losses} == {"<OD>", "<CAPTION>"}
    assert (folder / "losses.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("name", ["model.safetensors", "training.json"])
def test_a_model_with_a_flipped_bit_is_not_loaded(
    released: Data, trained: TrainingResult, tmp_path: Path, name: str
) -> None:
    from model.network.florence import load

    folder = tmp_path / "flipped"
    shutil.copytree(Path(released["dataset"], trained.folder), folder)
    data = bytearray((folder / name).read_bytes())
    data[len(data) // 2] ^= 1
    (folder / name).write_bytes(data)
    with pytest.raises(DamageError, match=f"{name}' (is|was) .*train the model again"):
        load(str(folder))


def test_plain_transformers_loads_it_and_generates_the_same(released: Data, trained: TrainingResult) -> None:
    import torch
    from transformers import AutoProcessor, Florence2ForConditionalGeneration

    from engine.images.decode import decode
    from model.decoding.predict import predict
    from model.network.encoding import make_question
    from model.network.florence import load
    from specialists.synthetic.world import scenes

    folder = str(Path(released["dataset"], trained.folder))
    (scene,) = scenes("world://?images=1&size=64&words=0")
    image = decode(scene.data)
    processor: Any = AutoProcessor
    processor = processor.from_pretrained(folder)
    model = Florence2ForConditionalGeneration.from_pretrained(folder)
    inputs = processor(images=image, text="What does the image describe?", return_tensors="pt")
    with torch.no_grad():
        theirs = model.generate(**inputs, max_new_tokens=20, num_beams=1, do_sample=False)

    (ours,) = predict(load(folder), [image], [make_question(0, "<CAPTION>")], max_new_tokens=20, constrained=False)

    assert theirs[0, 1:].tolist() == ours.ids


def test_the_auxiliary_head_is_not_saved_with_the_model(released: Data, trained: TrainingResult) -> None:
    from safetensors.numpy import load_file
    from transformers import Florence2ForConditionalGeneration

    helped = run(released, name="helped", **SMALL)
    folders = [Path(released["dataset"], result.folder) for result in (trained, helped)]
    shapes = [
        {name: value.shape for name, value in load_file(folder / "model.safetensors").items()} for folder in folders
    ]
    _, loading = Florence2ForConditionalGeneration.from_pretrained(folders[1], output_loading_info=True)

    assert shapes[0] == shapes[1]
    assert {path.name for path in folders[0].iterdir()} == {path.name for path in folders[1].iterdir()}
    assert not any(loading[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert helped.record["course"]["auxiliary"] == 1.0
    assert helped.record["fourier_locations"]
    assert {"auxiliary classes", "auxiliary locations", "<OD>"} <= set(helped.record["loss"])


def test_the_same_command_again_trains_nothing(released: Data, trained: TrainingResult, tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path / "recipe.yaml", with_train(released, name="first"))

    result = CliRunner().invoke(app, ["train", "-c", str(recipe), "--runner", "inline"])

    assert result.exit_code == 0, result.output
    assert "It was trained before: nothing to do." in result.output


def test_options_that_do_not_affect_the_weights_may_change(released: Data, trained: TrainingResult) -> None:
    assert run(released, name="first", checkpoint_every=100, cpus=2).seconds == 0


def test_the_command_prints_what_it_trained(released: Data, tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path / "recipe.yaml", with_train(released, name="said"))

    result = CliRunner().invoke(app, ["train", "-c", str(recipe), "--runner", "inline", "--set", "train.seed=3"])

    assert result.exit_code == 0, result.output
    assert "models/said: 1,0" in result.output
    assert "<OD>" in result.output
    assert "curves: models/said/losses.png" in result.output


def test_a_killed_and_resumed_training_ends_with_the_same_weights(released: Data, tmp_path: Path) -> None:
    steps = {"steps": 24, "checkpoint_every": 2, **SMALL}
    recipe = write_recipe(tmp_path / "recipe.yaml", with_train(released, name="killed", **steps))
    checkpoints = Path(released["dataset"], "models", "killed", "checkpoints")
    process = engine_in_background("train", "-c", str(recipe), "--runner", "inline")
    wait_until(lambda: any(checkpoints.glob("*/state.json")))
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert not (checkpoints.parent / "training.json").exists()

    result = CliRunner().invoke(app, ["train", "-c", str(recipe), "--runner", "inline"])

    assert result.exit_code == 0, result.output
    run(released, name="in-peace", **steps)
    assert weights(released, "killed") == weights(released, "in-peace")


def test_another_recipe_under_the_same_name_is_refused(released: Data, trained: TrainingResult) -> None:
    with pytest.raises(ConfigError, match="'first' exists and was trained with other settings or pairs"):
        run(released, name="first", learning_rate=0.1)


def test_training_starts_from_a_checkpoint_by_the_same_command(released: Data, trained: TrainingResult) -> None:
    again = run(released, name="second", init=trained.folder, size=0, vocabulary=0, learning_rate=1e-3, **SMALL)

    first = trained.record["loss"]["<OD>"]
    assert again.record["loss"]["<OD>"] < first
    assert again.record["init"] == "first"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tasks": ["<ODD>"]}, "did you mean '<OD>'"),
        ({"tasks": ["<OCR>"]}, "nothing to train on"),
        ({"init": "tinny", **FREE}, "No checkpoint at 'tinny'"),
        ({"init": "models/first"}, "train.vocabulary and train.size are for presets"),
        ({"init": "models/first/init", **FREE, "auxiliary": 1.0}, "train.auxiliary is for presets and models trained"),
        ({"init": "models/first/init", **FREE, "fourier_locations": True}, "train.fourier_locations is for presets"),
        ({"tasks": ["<CAPTION>"], "auxiliary": 1.0}, "learns from boxes of <OD>, which these pairs do not have"),
        ({"size": 5}, "Images of 5 pixels"),
        ({"release": "releases/none"}, "No finished release at"),
        ({"accumulate": 3}, "A batch of 4 cannot be split into 3 parts"),
    ],
)
def test_an_error_names_why_nothing_can_be_trained(
    released: Data, trained: TrainingResult, changes: Data, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        run(released, name="wrong", **changes)


def test_a_release_without_pairs_is_an_error(released: Data, tmp_path: Path) -> None:
    release = tmp_path / "old"
    release.mkdir()
    (release / "manifest.json").write_text(json.dumps({"files": [{"name": "train-00000.tar"}], "content": "x"}))

    with pytest.raises(ConfigError, match="holds no pairs to train on: emit it again"):
        run(released, name="wrong", release=str(release))


def test_more_workers_than_the_cluster_has_is_an_error_in_one_sentence(released: Data, ray_cluster: None) -> None:
    with pytest.raises(RunFailed, match=r"asks for 40 CPU, this cluster has 4: lower train\.workers"):
        run(released, "ray", name="many", workers=40, batch_size=40)


def test_an_error_of_a_worker_is_reported_in_its_own_words(
    released: Data, ray_cluster: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Runs the worker's function in this process, because a group of workers takes twenty seconds to start."""

    class Here:
        def __init__(self, job: Any, board: Any, *_: Any) -> None:
            self.given = {"job": job, "board": board, "paths": []}

        def fit(self) -> None:
            ray_worker(self.given)

    monkeypatch.setattr("model.training.on_ray._trainer", Here)
    monkeypatch.setattr(
        "ray.train.get_context", lambda: SimpleNamespace(get_world_rank=lambda: 0, get_world_size=lambda: 1)
    )
    monkeypatch.setattr("ray.train.torch.get_device", lambda: "cpu")

    with pytest.raises(ConfigError, match="nothing to train on"):
        run(released, "ray", name="wrong", tasks=["<OCR>"])


def test_the_progress_line_shows_rate_and_time_left() -> None:
    line = TrainingLine(live=False)
    line.pace.rate, line.pace.left = 5.0, 14.0

    shown = [part for _, part in line.parts(Progress(step=30, steps=100, loss=2.5, samples=16))]

    assert shown == ["train  30%", "step 30/100", "80 samples/s", "loss 2.500", "ETA 14s"]
