"""One training job: what it consists of, and what each of its workers does.

Every worker reads the same pairs and the same initial checkpoint, and trains on its share of each batch. If the same
job is started again, it continues from its newest checkpoint.
"""

from __future__ import annotations

import math
import os
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.images.decode import Limits
from engine.storage.files import Storage
from model.network.model_folder import local_copy, save_model

if TYPE_CHECKING:
    from torch import nn

    from model.network.florence import Florence
    from model.training.batches import Batches
    from model.training.loop import Peers, Training
    from model.training.objective import Objective
    from model.training.options import TrainOptions
    from model.training.pair_store import PairStore

PROGRESS_SECONDS = 0.5  # least time between two progress reports

# Options of the training loop. training.json stores them under "course".
_COURSE: tuple[str, ...] = ("steps", "batch_size", "accumulate", "learning_rate", "warmup", "weight_decay", "clip")
_COURSE += ("auxiliary", "precision", "checkpoint_every", "seed")


@dataclass(frozen=True, slots=True)
class TrainingJob:
    """Everything that one training needs. The model is saved to `folder` of the data set at `storage`."""

    pairs: Sequence[str]  # files or URLs
    init: str  # a checkpoint: a folder, models/NAME of the data set, or a hub id
    storage: str
    folder: str
    key: str  # hash of everything that affects the weights
    options: TrainOptions  # learning_rate and precision must already be actual values, not 0 and "auto"
    only: Mapping[str, Any] = field(default_factory=dict)  # {column of the pairs: values to train on}
    base: str = ""  # folder for relative image locations; '': the folder of their pairs file
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress of a training after `step` of `steps` steps. `samples`: samples in one step, over all workers."""

    step: int
    steps: int
    loss: float
    samples: int


OnProgress = Callable[[Progress], None]
Wrap = Callable[["nn.Module"], "nn.Module"]


def run_worker(job: TrainingJob, on_progress: OnProgress, *, device: str = "cpu", wrap: Wrap | None = None) -> None:
    """Runs the part of one worker, from reading the pairs to saving the model. Only rank 0 saves. `wrap`: makes a
    module data-parallel; needed if there is more than one worker.
    """
    with tempfile.TemporaryDirectory(prefix="training-") as scratch:
        _run_worker(job, on_progress, device, wrap, Path(scratch))


def _run_worker(job: TrainingJob, on_progress: OnProgress, device: str, wrap: Wrap | None, scratch: Path) -> None:
    from model.network.florence import load
    from model.training.auxiliary import classes_of
    from model.training.checkpoints import Checkpoints, last_losses, losses
    from model.training.loop import Peers, Training
    from model.training.pair_store import open_pairs

    storage, steps = Storage(job.storage), job.options.steps
    florence = load(local_copy(storage, job.init, scratch / "init"))
    store = open_pairs(job.pairs, florence, scratch / "pairs", tasks=job.options.tasks, only=job.only, base=job.base)
    peers = Peers()
    classes = classes_of(store) if job.options.auxiliary else {}
    batches = _batches(job, florence, store, peers, classes)
    checkpoints = Checkpoints(storage, job.folder, job.key)
    objective = _objective(job, florence, len(classes))
    training = Training(objective, batches, job.options, device=device, checkpoints=checkpoints, wrap=wrap)
    _train(training, on_progress)
    if peers.rank == 0:
        checkpoints.save_losses(steps, training.history)
        record = _record(job, florence, batches, last_losses(losses(storage, job.folder), steps), peers.world)
        florence.to("cpu").save(scratch / "model")
        save_model(storage, job.folder, scratch / "model", record)
        checkpoints.clear()
    peers.wait()


def _batches(job: TrainingJob, florence: Florence, store: PairStore, peers: Peers, classes: dict[str, int]) -> Batches:
    from model.training.augment import Augment
    from model.training.auxiliary import Cells
    from model.training.batches import Batches
    from model.training.pair_store import PixelStore
    from model.training.sampling import Schedule

    options = job.options
    return Batches(
        store,
        PixelStore(florence.size, limits=job.limits),
        florence,
        Schedule(store.counts, temperature=options.temperature, seed=options.seed),
        batch_size=options.batch_size,
        accumulate=options.accumulate,
        rank=peers.rank,
        world=peers.world,
        augment=Augment(**options.augment.model_dump(), seed=options.seed),
        cells=Cells(classes, math.isqrt(florence.image_tokens - 1)) if classes else None,
    )


def _objective(job: TrainingJob, florence: Florence, classes: int) -> Objective:
    from model.pairs.locations import BINS
    from model.training.auxiliary import Head
    from model.training.objective import Objective

    if job.options.freeze_vision:
        florence.model.model.vision_tower.requires_grad_(False)
    width = florence.model.config.text_config.d_model
    return Objective(
        florence.model,
        first_location=florence.vocabulary.first_location,
        bins=BINS,
        soft_locations=job.options.soft_locations,
        auxiliary=Head(width, classes, seed=job.options.seed) if classes else None,
    )


def _train(training: Training, on_progress: OnProgress) -> None:
    """Does all steps. Reports progress at most every PROGRESS_SECONDS, and after the last step."""
    reported, steps = 0.0, training.options.steps
    for done in training.run():
        if time.monotonic() - reported > PROGRESS_SECONDS or done.step + 1 == steps:
            reported = time.monotonic()
            on_progress(Progress(done.step + 1, steps, done.loss, done.samples))


def trained_on(files: Sequence[str], dataset: str) -> list[str]:
    """The folders of these files of pairs: "releases/v1", or the folder of a round's pairs.

    Of a folder outside of the data set it is only the name. So it can be found out later which images a model saw.
    """
    folders = {file.rpartition("/")[0] for file in files}
    inside = f"{dataset.rstrip('/')}/"
    return sorted(f.removeprefix(inside) if f.startswith(inside) else f.rpartition("/")[2] for f in folders)


def _record(
    job: TrainingJob, florence: Florence, batches: Batches, losses: dict[str, float], workers: int
) -> dict[str, Any]:
    """The content of training.json."""
    from model.training.loop import BETAS, FINAL_SHARE

    options, schedule, store = job.options, batches.schedule, batches.store
    course = {name: getattr(options, name) for name in _COURSE} | {"final_share": FINAL_SHARE, "betas": list(BETAS)}
    return {
        "key": job.key,
        "trained_on": trained_on(job.pairs, job.storage),
        "only": dict(job.only),
        "init": florence.name if "/" not in job.init or "://" in job.init else os.path.basename(job.init),
        "parameters": florence.parameters(),
        "size": florence.size,
        "course": course,
        "temperature": options.temperature,
        "augment": options.augment.model_dump() | {"seed": options.seed},
        "soft_locations": options.soft_locations,
        "fourier_locations": options.fourier_locations,
        "freeze_vision": options.freeze_vision,
        "pairs": store.counts,
        "left_out": dict(store.left_out),
        "unreadable": dict(batches.unreadable),
        "draws_an_epoch": {task: int(count) for task, count in zip(schedule.tasks, schedule.draws, strict=True)},
        "loss": losses,
        "workers": workers,
    }
