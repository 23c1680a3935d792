"""Trains Florence-2 on the pairs of a release: finds the pairs, trains, saves the model, draws the loss curves.

A model has a name, which gives its folder models/<name>, and a key, which is a hash of everything that affects its
weights. The same command again finds the model finished, or continues from its newest checkpoint. Another recipe under
the same name is refused.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from engine.errors import ConfigError, DamageError
from engine.extras import FLORENCE, require
from engine.images.decode import Limits
from engine.keys import stable_hash
from engine.layout import INITIAL, MANIFEST, model_folder, release_folder
from engine.reading.release_manifest import pair_files, read_manifest
from engine.running.backends.choice import chosen_runner
from engine.storage.files import Storage
from model.florence2_tasks import task_of
from model.network.model_folder import training_record
from model.network.presets import PRESETS, preset_of
from model.training.checkpoints import Checkpoints
from model.training.job import OnProgress, Progress, TrainingJob, run_worker
from model.training.on_ray import run_on_ray
from model.training.options import TrainOptions
from pipelines.recipe import Recipe
from pipelines.training.curves import CURVES, draw_curves
from pipelines.training.initial_weights import check_init, first_weights, init_digest

TRAIN_VERSION = 1
FROZEN = "WARNING: the vision tower is frozen. In the paper that costs most of what training gains: AP 6.9 for 19.7."
_CHECKPOINT_RATE = 1e-5  # learning rate if training starts from a released checkpoint
_NOT_IN_KEY = {"name", "release", "checkpoint_every", "cpus"}


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """A trained model. str() is the text that `engine train` prints at its end.

    dataset: the URL of the data set. folder: the folder of the model, below that URL. record: the content of the
    model's training.json. seconds, steps_done: those of this run; 0 if the model was finished before.
    """

    dataset: str
    folder: str
    record: Mapping[str, Any]
    seconds: float = 0.0
    steps_done: int = 0

    def __str__(self) -> str:
        return "\n".join(_lines(self))


def train(
    recipe: Recipe, *, runner: str = "auto", address: str | None = None, on_progress: OnProgress | None = None
) -> TrainingResult:
    """Trains the model of the recipe's section `train`, or finds it trained. Raises EngineError if that fails.

    `runner`: "ray" (Ray Train), "local" or "inline" (in this process), or "auto": Ray if the recipe asks for several
    workers, if there is an address of a cluster or a connection to one, or a GPU; otherwise this process.
    `address`: the address of a Ray cluster; None starts a private one here.
    """
    options = recipe.train
    on_ray = trains_on_ray(runner, address, options)
    require("Training", [*FLORENCE, "matplotlib", *(["pandas"] if on_ray else [])])
    for task in options.tasks:
        task_of(task)
    storage = Storage(recipe.dataset)
    files, content = release_pairs(storage, recipe)
    limits = Limits(max_pixels=recipe.ingest.max_pixels, max_bytes=recipe.ingest.max_bytes)
    return fit(storage, options, files, content, runner=runner, address=address, on_progress=on_progress, limits=limits)


def fit(
    storage: Storage,
    options: TrainOptions,
    files: Sequence[str],
    content: str,
    *,
    runner: str = "auto",
    address: str | None = None,
    on_progress: OnProgress | None = None,
    limits: Limits | None = None,
    only: Mapping[str, Any] | None = None,
    base: str = "",
) -> TrainingResult:
    """Trains on any pairs. Refinement rounds train their students with it.

    `content`: a hash of what `files` hold. `only`, `base`: see `model.training.pair_store.open_pairs`.
    """
    folder = model_folder(options.name)
    key = training_key(storage, options, content, only or {})
    if (record := _finished(storage, options.name, folder, key)) is not None:
        return TrainingResult(storage.url, folder, record)
    check_init(storage, options)
    init = first_weights(storage, options, files, folder, key)
    job = _job(storage, options, files, key, init)
    job = replace(job, limits=limits or Limits(), only=dict(only or {}), base=base)
    started, steps_done = time.monotonic(), 0

    def count_steps(progress: Progress) -> None:
        nonlocal steps_done
        steps_done = progress.step
        if on_progress:
            on_progress(progress)

    if trains_on_ray(runner, address, options):
        run_on_ray(job, count_steps, workers=options.workers, gpus=options.gpus, cpus=options.cpus, address=address)
    else:
        run_worker(job, count_steps, device=_device(options))
    record = _finished(storage, options.name, folder, key)
    assert record is not None
    return TrainingResult(storage.url, folder, record, time.monotonic() - started, steps_done)


def trains_on_ray(runner: str, address: str | None, options: TrainOptions) -> bool:
    """Whether a training runs under Ray Train. `runner`, `address`: as for `train`."""
    if runner == "auto" and options.workers > 1:
        return True
    return chosen_runner(runner, address) == "ray"


def _finished(storage: Storage, name: str, folder: str, key: str) -> Mapping[str, Any] | None:
    """The record of the model; None if it is not trained. Finishes what a killed run left to do after training."""
    record = training_record(storage, folder)
    if record is None:
        return None
    if record["key"] != key:
        raise ConfigError(
            f"The model '{name}' exists and was trained with other settings or pairs: choose another name with "
            "--set train.name=NAME."
        )
    if not storage.exists(f"{folder}/{CURVES}"):
        draw_curves(storage, folder)
    Checkpoints(storage, folder, key).clear()
    for place in (folder, f"{folder}/{INITIAL}"):
        storage.sweep_temporaries(place)
    return record


def training_key(storage: Storage, options: TrainOptions, content: str, only: Mapping[str, Any]) -> str:
    """A hash of everything that affects the weights.

    That includes the number of workers: sums of floats depend on how a batch is split.
    """
    chosen = options.model_dump(mode="json", exclude=_NOT_IN_KEY, exclude_defaults=True)
    return stable_hash(["train", TRAIN_VERSION, chosen, content, init_digest(storage, options.init), dict(only)])


def release_pairs(storage: Storage, recipe: Recipe) -> tuple[list[str], str]:
    """The files of pairs in the release to train on, and a hash of the release's content."""
    named = recipe.train.release or (release_folder(recipe.emit.name) if recipe.emit.name else "")
    if not named:
        raise ConfigError("No release to train on: give train.release, or name the recipe's own with emit.name.")
    inside = not recipe.train.release or storage.exists(f"{named}/{MANIFEST}")
    release = Storage(f"{storage.url}/{named}") if inside else Storage(named)
    try:
        manifest = read_manifest(release)
    except FileNotFoundError:
        raise ConfigError(
            f"No finished release at '{release.url}': run 'engine run' first, or give train.release."
        ) from None
    train = set(pair_files((file["name"] for file in manifest["files"]), "train"))
    pairs = [file for file in manifest["files"] if file["name"] in train]
    if not pairs:
        raise ConfigError(
            f"The release '{release.url}' holds no pairs to train on: emit it again, with pairs in emit.formats."
        )
    for file in pairs:
        if release.sha256(file["name"]) != file["sha256"]:
            raise DamageError(
                f"'{release.url}/{file['name']}' is damaged (not the bytes of the manifest): restore it from a backup, "
                "or make the release again under another name."
            )
    return [f"{release.url}/{file['name']}" for file in pairs], str(manifest["content"])


def _job(storage: Storage, options: TrainOptions, files: Sequence[str], key: str, init: str) -> TrainingJob:
    return TrainingJob(
        pairs=list(files),
        init=init,
        storage=storage.url,
        folder=model_folder(options.name),
        key=key,
        options=_resolved(options),
    )


def _resolved(options: TrainOptions) -> TrainOptions:
    """The options with a learning rate in place of 0, and a precision in place of "auto"."""
    preset_rate = preset_of(options.init).learning_rate if options.init in PRESETS else _CHECKPOINT_RATE
    precision = options.precision if options.precision != "auto" else "bfloat16" if options.gpus else "float32"
    return options.model_copy(update={"learning_rate": options.learning_rate or preset_rate, "precision": precision})


def _device(options: TrainOptions) -> str:
    import torch

    torch.set_num_threads(max(1, int(options.cpus)))
    return "cuda" if options.gpus else "cpu"


def _lines(result: TrainingResult) -> list[str]:
    record = result.record
    place = f"{result.dataset}/{result.folder}"
    lines = [f"{place}: {record['parameters']:,} parameters, {record['course']['steps']:,} steps"]
    if not result.seconds:
        lines.append("It was trained before: nothing to do.")
    else:
        lines[0] += f", {result.seconds:.0f} s"
    lines.append(f"{'task':<36}{'pairs':>10}{'draws an epoch':>16}{'loss':>9}")
    for task, count in record["pairs"].items():
        loss = record["loss"].get(task)
        written = "-" if loss is None else f"{loss:.3f}"
        lines.append(f"{task:<36}{count:>10,}{record['draws_an_epoch'][task]:>16,}{written:>9}")
    for what in ("left_out", "unreadable"):
        if record[what]:
            counts = ", ".join(f"{count:,} {reason}" for reason, count in record[what].items())
            lines.append(f"{what.replace('_', ' ')}: {counts}")
    if record["freeze_vision"]:
        lines.append(FROZEN)
    lines.append(f"curves: {result.folder}/{CURVES}, losses: {result.folder}/losses/*.parquet")
    return lines
