"""Train Florence-2 on the pairs of a release: find them, train, save, draw the curves (first_weights.py: from what).

A model is named by its folder, models/<name>, and by a key of all that decides its weights. The same command again
finds it finished, or goes on from its newest checkpoint; another recipe under the same name is refused.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TextIO

from engine.errors import ConfigError, DamageError
from engine.extras import FLORENCE, require
from engine.images.decode import Limits
from engine.keys import stable_hash
from engine.layout import INITIAL, MANIFEST, MODELS, PAIR_FILES, model_folder, release_folder
from engine.reading.release_manifest import read_manifest
from engine.running.progress import LineDrawer, Pace, Parts, clock
from engine.storage.files import Storage
from model.network.model_folder import training_record
from model.network.presets import PRESETS, preset_of
from model.pairs.tasks import task_of
from model.training.checkpoints import Checkpoints, losses
from model.training.job import OnProgress, Progress, TrainingJob, run_worker
from model.training.on_ray import run_on_ray
from model.training.options import TrainOptions
from pipelines.recipe import Recipe
from pipelines.training.initial_weights import check_init, first_weights, init_digest

TRAIN_VERSION = 1
FROZEN = "WARNING: the vision tower is frozen. In the paper that costs most of what training gains: AP 6.9 for 19.7."
_CHECKPOINT_RATE = 1e-5  # of a released checkpoint that goes on


@dataclass(slots=True)
class Result:
    """`told`: what training.json says. `seconds` of this run; 0 where it was finished before."""

    folder: str
    told: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    steps_done: int = 0


def train(
    recipe: Recipe,
    *,
    runner: str = "ray",
    address: str | None = None,
    say: OnProgress | None = None,
) -> Result:
    """Train what `recipe.train` says, or find it trained. EngineError says in one sentence what stops it."""
    options = recipe.train
    require("Training", [*FLORENCE, "matplotlib", *(["pandas"] if runner == "ray" else [])])
    for task in options.tasks:
        task_of(task)
    storage = Storage(recipe.dataset)
    files, content = release_pairs(storage, recipe)
    return fit(storage, options, files, content, runner=runner, address=address, say=say, limits=_limits(recipe))


def fit(
    storage: Storage,
    options: TrainOptions,
    files: Sequence[str],
    content: str,
    *,
    runner: str = "ray",
    address: str | None = None,
    say: OnProgress | None = None,
    limits: Limits | None = None,
    only: dict[str, Any] | None = None,
    base: str = "",
) -> Result:
    """The same of any pairs: `content` names what they hold. Refinement trains its students by this function.

    `only` and `base`: as `model.training.pair_store.open_pairs` takes them.
    """
    folder = model_folder(options.name)
    key = training_key(storage, options, content, only or {})
    if (told := training_record(storage, folder)) is not None:
        if told["key"] != key:
            raise ConfigError(
                f"The model '{options.name}' exists and was trained otherwise: choose another name with "
                "--set train.name=NAME."
            )
        _tidy(storage, folder, key)
        return Result(folder, told)
    check_init(storage, options)
    init = first_weights(storage, options, files, folder, key)
    job = replace(_job(storage, options, files, folder, key, init, limits or Limits(), only or {}), base=base)
    started = time.monotonic()
    steps_done = 0

    def on_progress(progress: Progress) -> None:
        nonlocal steps_done
        steps_done = progress.step
        if say:
            say(progress)

    if runner == "local":
        run_worker(job, on_progress, device=_device(options))
    else:
        run_on_ray(job, on_progress, workers=options.workers, gpus=options.gpus, cpus=options.cpus, address=address)
    _tidy(storage, folder, key)
    told = training_record(storage, folder)
    assert told is not None
    return Result(folder, told, time.monotonic() - started, steps_done)


def _tidy(storage: Storage, folder: str, key: str) -> None:
    """What a training that was stopped between its model and its end left to do: curves, old checkpoints."""
    if not storage.exists(f"{folder}/losses.png"):
        draw_curves(storage, folder)
    Checkpoints(storage, folder, key).clear()
    for place in (folder, f"{folder}/{INITIAL}"):
        storage.sweep_temporaries(place)


def training_key(storage: Storage, options: TrainOptions, content: str, only: dict[str, Any]) -> str:
    """Of all that decides the weights. Workers are among it: sums of another cut differ in their last bits."""
    run_only = {"name", "release", "checkpoint_every", "cpus"}
    chosen = options.model_dump(mode="json", exclude=run_only, exclude_defaults=True)
    return stable_hash(["train", TRAIN_VERSION, chosen, content, init_digest(storage, options.init), only])


def _limits(recipe: Recipe) -> Limits:
    return Limits(max_pixels=recipe.ingest.max_pixels, max_bytes=recipe.ingest.max_bytes)


def release_pairs(storage: Storage, recipe: Recipe) -> tuple[list[str], str]:
    """(pairs files, what they hold) of the release that is trained on."""
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
    pairs = [file for file in manifest["files"] if file["name"].startswith(PAIR_FILES)]
    if not pairs:
        raise ConfigError(f"The release '{release.url}' holds no pairs: emit it again with this engine.")
    for file in pairs:
        if release.sha256(file["name"]) != file["sha256"]:
            raise DamageError(
                f"'{release.url}/{file['name']}' is damaged (not the bytes of the manifest): restore it from a backup, "
                "or make the release again under another name."
            )
    return [f"{release.url}/{file['name']}" for file in pairs], str(manifest["content"])


def _job(
    storage: Storage,
    options: TrainOptions,
    files: Sequence[str],
    folder: str,
    key: str,
    init: str,
    limits: Limits,
    only: dict[str, Any],
) -> TrainingJob:
    from model.training.loop import Course

    rate = options.learning_rate or (
        preset_of(options.init).learning_rate if options.init in PRESETS else _CHECKPOINT_RATE
    )
    precision = options.precision if options.precision != "auto" else "bfloat16" if options.gpus else "float32"
    course = Course(
        steps=options.steps,
        batch_size=options.batch_size,
        accumulate=options.accumulate,
        learning_rate=rate,
        warmup=options.warmup,
        weight_decay=options.weight_decay,
        clip=options.clip,
        auxiliary=options.auxiliary,
        precision=precision,
        checkpoint_every=options.checkpoint_every,
        seed=options.seed,
    )
    augment = options.augment.model_dump() | {"seed": options.seed}
    return TrainingJob(
        pairs=list(files),
        init=init,
        storage=storage.url,
        folder=folder,
        key=key,
        course=course,
        tasks=list(options.tasks),
        temperature=options.temperature,
        augment=augment,
        soft_locations=options.soft_locations,
        fourier_locations=options.fourier_locations,
        freeze_vision=options.freeze_vision,
        only=only,
        limits=limits,
    )


def _device(options: TrainOptions) -> str:
    import torch

    torch.set_num_threads(max(1, int(options.cpus)))
    return "cuda" if options.gpus else "cpu"


# --- the curves ------------------------------------------------------------------------------


def draw_curves(storage: Storage, folder: str) -> None:
    """losses.png beside the model: each task's loss, averaged over a fiftieth of the steps."""
    import io

    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    table = losses(storage, folder)
    if not table:
        return
    figure, axes = pyplot.subplots(figsize=(8, 4.5), layout="constrained")
    width = max(max(row["step"] for row in table) // 50, 1)
    for task in sorted({row["task"] for row in table}):
        bins: dict[int, list[float]] = {}
        for row in table:
            if row["task"] == task:
                bins.setdefault(row["step"] // width, []).append(row["loss"])
        axes.plot([(place + 0.5) * width for place in bins], [sum(v) / len(v) for v in bins.values()], label=task)
    axes.set(xlabel="step", ylabel="loss, nats a token", title=folder.removeprefix(f"{MODELS}/"), ylim=(0, None))
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    picture = io.BytesIO()
    figure.savefig(picture, dpi=110)
    pyplot.close(figure)
    storage.put(f"{folder}/losses.png", picture.getvalue())


class TrainingLine:
    """The live line of a training: redrawn on a terminal, else written every half minute."""

    def __init__(self, name: str = "train", *, stream: TextIO | None = None, live: bool | None = None) -> None:
        self.name = name
        self.drawer = LineDrawer(stream, live)
        self.pace = Pace()
        self._first: tuple[float, int] | None = None  # when the first report came, and at which step

    def say(self, progress: Progress) -> None:
        now = time.monotonic()
        self._first = self._first or (now, progress.step)
        began, step = self._first
        self.pace.at(now - began, progress.step - step, progress.steps - step)
        self.drawer.draw(lambda: self.parts(progress))

    def parts(self, progress: Progress) -> Parts:
        step, steps = progress.step, progress.steps
        return [
            (0, f"{self.name} {100 * step // steps:3d}%"),
            (3, f"step {step:,}/{steps:,}"),
            (2, f"{self.pace.rate * progress.samples:.0f} samples/s"),
            (1, f"loss {progress.loss:.3f}"),
            (1, f"ETA {clock(self.pace.left)}" if self.pace.left is not None else "ETA --"),
        ]

    def close(self) -> None:
        self.drawer.close()


def render(result: Result, storage_url: str) -> str:
    """What a training says at its end."""
    told = result.told
    lines = [f"{storage_url}/{result.folder}: {told['parameters']:,} parameters, {told['course']['steps']:,} steps"]
    if not result.seconds:
        lines.append("It was trained before: nothing to do.")
    else:
        lines[0] += f", {result.seconds:.0f} s"
    lines.append(f"{'task':<36}{'pairs':>10}{'draws an epoch':>16}{'loss':>9}")
    for task, count in told["pairs"].items():
        loss = told["loss"].get(task)
        lines.append(
            f"{task:<36}{count:>10,}{told['draws_an_epoch'][task]:>16,}{'-' if loss is None else f'{loss:.3f}':>9}"
        )
    for what in ("left_out", "unreadable"):
        if told[what]:
            lines.append(
                f"{what.replace('_', ' ')}: " + ", ".join(f"{count:,} {reason}" for reason, count in told[what].items())
            )
    if told["freeze_vision"]:
        lines.append(FROZEN)
    lines.append(f"curves: {result.folder}/losses.png, losses: {result.folder}/losses/*.parquet")
    return "\n".join(lines)
