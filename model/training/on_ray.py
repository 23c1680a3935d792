"""A whole training: what it is made of, what one worker does, and Ray Train around it.

Every worker reads the same pairs and the same initial checkpoint and trains on its part of each batch. A worker that
dies takes the group with it; Ray starts it again, and it goes on from the newest checkpoint. So does the same command
after `kill -9`. `training.json` is written last: a model is finished where it is.
"""

from __future__ import annotations

import contextlib
import math
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.errors import ConfigError, EngineError, RunFailed
from engine.images.decode import Limits
from engine.storage.files import Storage, sha256_file
from engine.storage.sealed import read_sealed, seal
from model.training.checkpoints import FILES

if TYPE_CHECKING:
    from model.training.loop import Course

FINISHED = "training.json"
_SAY_S = 0.5  # between two words to the driver
_RESTARTS = 3  # of the group of workers


@dataclass(frozen=True, slots=True)
class Trained:
    """What one training is made of. `pairs`: files or URLs; `init`: a checkpoint; the model goes to storage/folder.

    `key` names all that decides the weights. `only`: {column of the pairs: values to keep}.
    """

    pairs: Sequence[str]
    init: str
    storage: str
    folder: str
    key: str
    course: Course
    tasks: Sequence[str] = ()
    temperature: float = 1.0
    augment: Mapping[str, Any] = field(default_factory=dict)
    soft_locations: float = 0.0
    fourier_locations: bool = False  # how the initial checkpoint was made, for the record
    freeze_vision: bool = False
    only: Mapping[str, Any] = field(default_factory=dict)
    base: str = ""  # the folder that relative locators are relative to; '': that of the pairs
    limits: Limits = field(default_factory=Limits)


Say = Callable[[dict[str, Any]], None]


def finished(storage: Storage, folder: str) -> dict[str, Any] | None:
    """What `training.json` says, None where no model is finished. DamageError where it is not as it was written."""
    try:
        return read_sealed(storage, f"{folder}/{FINISHED}", "restore it from a backup, or train under another name.")
    except FileNotFoundError:
        return None


def work(plan: Trained, say: Say, *, device: str = "cpu", wrap: Any = None) -> None:
    """One worker, from reading pairs to the saved model; rank 0 saves. `say` is told {step, steps, loss, rate}."""
    with tempfile.TemporaryDirectory(prefix="training-") as scratch:
        _work(plan, say, device, wrap, Path(scratch))


def _work(plan: Trained, say: Say, device: str, wrap: Any, scratch: Path) -> None:
    from model.network.florence import load
    from model.pairs.locations import BINS
    from model.training.augment import Augment
    from model.training.auxiliary import Cells, Head, classes_of
    from model.training.batches import Batches
    from model.training.checkpoints import Checkpoints, last_losses, losses
    from model.training.loop import Peers, Training
    from model.training.objective import Objective
    from model.training.pair_store import PixelStore, open_pairs
    from model.training.sampling import Schedule

    storage = Storage(plan.storage)
    florence = load(local_copy(storage, plan.init, scratch / "init"))
    store = open_pairs(plan.pairs, florence, scratch / "pairs", tasks=plan.tasks, only=plan.only, base=plan.base)
    peers = Peers()
    classes = classes_of(store) if plan.course.auxiliary else {}
    batches = Batches(
        store,
        PixelStore(florence.size, limits=plan.limits),
        florence,
        Schedule(store.counts, temperature=plan.temperature, seed=plan.course.seed),
        batch_size=plan.course.batch_size,
        accumulate=plan.course.accumulate,
        rank=peers.rank,
        world=peers.world,
        augment=Augment(**plan.augment) if plan.augment else None,
        cells=Cells(classes, math.isqrt(florence.image_tokens - 1)) if classes else None,
    )
    if plan.freeze_vision:
        florence.model.model.vision_tower.requires_grad_(False)
    width = florence.model.config.text_config.d_model
    objective = Objective(
        florence.model,
        first_location=florence.vocabulary.first_location,
        bins=BINS,
        soft_locations=plan.soft_locations,
        auxiliary=Head(width, len(classes), seed=plan.course.seed) if classes else None,
    )
    checkpoints = Checkpoints(storage, plan.folder, plan.key)
    training = Training(objective, batches, plan.course, device=device, checkpoints=checkpoints, wrap=wrap)
    _train(training, say)
    if peers.rank == 0:
        checkpoints.tell(plan.course.steps, training.history)
        last = last_losses(losses(storage, plan.folder), plan.course.steps)
        told = _told(plan, florence, store, batches, last, peers.world)
        _save(storage, plan.folder, florence.to("cpu"), told, scratch / "model")
        checkpoints.clear()
    peers.wait()


def _train(training: Any, say: Say) -> None:
    """Every step."""
    spoken = 0.0
    for done in training.go():
        if time.monotonic() - spoken > _SAY_S or done.step + 1 == training.course.steps:
            spoken = time.monotonic()
            say({"step": done.step + 1, "steps": training.course.steps, "loss": done.loss, "samples": done.samples})


def _told(
    plan: Trained, florence: Any, store: Any, batches: Any, losses: dict[str, float], world: int
) -> dict[str, Any]:
    course = asdict(plan.course)
    return {
        "key": plan.key,
        "init": florence.name if "/" not in plan.init or "://" in plan.init else os.path.basename(plan.init),
        "parameters": florence.parameters(),
        "size": florence.size,
        "course": course | {"betas": list(course["betas"])},
        "temperature": plan.temperature,
        "augment": dict(plan.augment),
        "soft_locations": plan.soft_locations,
        "fourier_locations": plan.fourier_locations,
        "freeze_vision": plan.freeze_vision,
        "pairs": store.counts,
        "left_out": dict(store.left_out),
        "unreadable": dict(batches.unreadable),
        "draws_an_epoch": {
            task: int(n) for task, n in zip(batches.schedule.tasks, batches.schedule.draws, strict=True)
        },
        "loss": losses,
        "workers": world,
    }


def local_copy(storage: Storage, checkpoint: str, folder: Path) -> str:
    """A checkpoint of the data set ("models/..") as a local folder; a path or a hub id as it is."""
    if not storage.exists(f"{checkpoint}/config.json"):
        return checkpoint
    if storage.local:
        return storage.path(checkpoint)
    folder.mkdir(parents=True, exist_ok=True)
    for name in storage.names(checkpoint):
        if "." in name:
            (folder / name).write_bytes(storage.read(f"{checkpoint}/{name}"))
    return str(folder)


def put_checkpoint(storage: Storage, folder: str, local: Path) -> dict[str, str]:
    """Move the files of a saved model into the data set: {name: sha256}."""
    digests = {}
    for path in sorted(local.iterdir()):
        scratch = storage.scratch(f"{folder}/{path.name}")
        os.makedirs(os.path.dirname(scratch), exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(scratch)
        shutil.copyfile(path, scratch)
        digests[path.name] = sha256_file(scratch)
        storage.upload(scratch, f"{folder}/{path.name}")
    return digests


def _save(storage: Storage, folder: str, florence: Any, told: dict[str, Any], local: Path) -> None:
    florence.save(local)
    files = put_checkpoint(storage, folder, local)
    storage.put(f"{folder}/{FINISHED}", seal(told | {FILES: files}))


# --- under Ray -------------------------------------------------------------------------------


def on_ray(plan: Trained, say: Say, *, workers: int, gpus: float, cpus: float, address: str | None = None) -> None:
    """Train with `workers` of Ray Train. EngineError in one sentence if it cannot be done."""
    from engine.running.backends import start_ray

    os.environ.setdefault("RAY_TRAIN_V2_ENABLED", "1")
    if not address:  # a cluster of our own is not taken away node by node
        os.environ.setdefault("RAY_TRAIN_ENABLE_PREEMPTION_WATCHER", "0")
    ray = start_ray(address)
    _require(ray, workers, gpus, cpus)
    board = ray.remote(Board).options(num_cpus=0).remote()
    with tempfile.TemporaryDirectory(prefix="ray-train-") as results, _watched(ray, board, say):
        trainer = _trainer(plan, board, workers, gpus, cpus, results)
        try:
            trainer.fit()
        except Exception as error:
            raise _cause(error) from error
    if (fault := ray.get(board.fault.remote())) is not None:
        raise fault


def _trainer(plan: Trained, board: Any, workers: int, gpus: float, cpus: float, results: str) -> Any:
    import logging

    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchConfig, TorchTrainer

    logging.getLogger("ray.train").setLevel(logging.ERROR)
    share = {"CPU": cpus} | ({"GPU": gpus} if gpus else {})
    return TorchTrainer(
        ray_worker,
        train_loop_config={"plan": plan, "board": board, "paths": [os.getcwd(), *sys.path]},
        scaling_config=ScalingConfig(num_workers=workers, use_gpu=gpus > 0, resources_per_worker=share),
        torch_config=TorchConfig(backend="nccl" if gpus else "gloo"),
        run_config=RunConfig(
            storage_path=results, name="training", failure_config=FailureConfig(max_failures=_RESTARTS)
        ),
    )


def _require(ray: Any, workers: int, gpus: float, cpus: float) -> None:
    has = ray.cluster_resources()
    for name, asked in (("CPU", cpus * workers), ("GPU", gpus * workers)):
        if asked > has.get(name, 0.0):
            raise RunFailed(
                f"Training with {workers} workers asks for {asked:g} {name}, this cluster has {has.get(name, 0.0):g}: "
                "lower train.workers, train.cpus or train.gpus."
            )


class Board:
    """Where workers write how far they are and what stops them, and the driver reads it."""

    def __init__(self) -> None:
        self._told: dict[str, Any] = {}
        self._fault: EngineError | None = None

    def write(self, told: dict[str, Any]) -> None:
        self._told = told

    def read(self) -> dict[str, Any]:
        return self._told

    def stop(self, fault: EngineError) -> None:
        self._fault = fault

    def fault(self) -> EngineError | None:
        return self._fault


@contextlib.contextmanager
def _watched(ray: Any, board: Any, say: Say) -> Any:
    """A thread that passes on what the board says, until the block ends."""
    import threading

    over = threading.Event()

    def watch() -> None:
        while not over.wait(_SAY_S):
            with contextlib.suppress(ray.exceptions.RayError):
                if told := ray.get(board.read.remote(), timeout=5):
                    say(told)

    thread = threading.Thread(target=watch, name="training-watch", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(timeout=10)
        with contextlib.suppress(ray.exceptions.RayError):
            if told := ray.get(board.read.remote(), timeout=5):
                say(told)


def ray_worker(config: dict[str, Any]) -> None:
    """What Ray Train runs in each of its workers."""
    sys.path.extend(path for path in config["paths"] if path not in sys.path)
    import ray
    import torch
    from ray import train
    from ray.train.torch import get_device, prepare_model

    torch.set_num_threads(1)
    context, device = train.get_context(), get_device()
    board = config["board"]

    def say(told: dict[str, Any]) -> None:
        if context.get_world_rank() == 0:
            board.write.remote(told)

    wrap = prepare_model if context.get_world_size() > 1 else None
    try:
        work(config["plan"], say, device=str(device), wrap=wrap)
    except (ConfigError, RunFailed) as error:  # of all workers alike; to start them again would not help
        ray.get(board.stop.remote(error))


def _cause(error: BaseException) -> EngineError:
    """The engine's own sentence, if one of the workers raised it."""
    failures = getattr(error, "worker_failures", None) or {}
    for failure in failures.values():
        cause = getattr(failure, "cause", failure)
        if isinstance(cause, EngineError):
            return cause
    first = next(iter(failures.values()), error)
    lines = [line for line in str(first).strip().splitlines() if line.strip()]
    return RunFailed(f"Training ended: {lines[-1] if lines else type(first).__name__}")
