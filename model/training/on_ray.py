"""Runs a training job with several workers, under Ray Train.

If a worker dies or raises an error, Ray Train restarts all workers, and they continue from the newest checkpoint. A
restart cannot fix a ConfigError or RunFailed. So a worker does not raise these, but sends them to the Board.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from typing import Any

from engine.errors import ConfigError, EngineError, RunFailed
from model.training.job import PROGRESS_SECONDS, OnProgress, Progress, TrainingJob, run_worker

_RESTARTS = 3  # how often Ray Train may restart the workers


def run_on_ray(
    job: TrainingJob, on_progress: OnProgress, *, workers: int, gpus: float, cpus: float, address: str | None = None
) -> None:
    """Trains with `workers` workers. `address`: of a Ray cluster; None starts one here. Raises RunFailed if the cluster
    is too small or the workers keep failing, and any ConfigError of a worker.
    """
    from engine.running.backends.ray_cluster import start_ray

    os.environ.setdefault("RAY_TRAIN_V2_ENABLED", "1")
    if not address:  # the nodes of a local cluster are not preempted
        os.environ.setdefault("RAY_TRAIN_ENABLE_PREEMPTION_WATCHER", "0")
    ray = start_ray(address)
    _require(ray, workers, gpus, cpus)
    board = ray.remote(Board).options(num_cpus=0).remote()
    with tempfile.TemporaryDirectory(prefix="ray-train-") as results, _forward_progress(ray, board, on_progress):
        trainer = _trainer(job, board, workers, gpus, cpus, results)
        try:
            trainer.fit()
        except Exception as error:
            raise _cause(error) from error
    if (failure := ray.get(board.error.remote())) is not None:
        raise failure


def _trainer(job: TrainingJob, board: Any, workers: int, gpus: float, cpus: float, results: str) -> Any:
    import logging

    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchConfig, TorchTrainer

    logging.getLogger("ray.train").setLevel(logging.ERROR)
    share = {"CPU": cpus} | ({"GPU": gpus} if gpus else {})
    return TorchTrainer(
        ray_worker,
        train_loop_config={"job": job, "board": board, "paths": [os.getcwd(), *sys.path]},
        scaling_config=ScalingConfig(num_workers=workers, use_gpu=gpus > 0, resources_per_worker=share),
        torch_config=TorchConfig(backend="nccl" if gpus else "gloo"),
        run_config=RunConfig(
            storage_path=results, name="training", failure_config=FailureConfig(max_failures=_RESTARTS)
        ),
    )


def _require(ray: Any, workers: int, gpus: float, cpus: float) -> None:
    has = ray.cluster_resources()
    for name, needed in (("CPU", cpus * workers), ("GPU", gpus * workers)):
        if needed > has.get(name, 0.0):
            raise RunFailed(
                f"Training with {workers} workers asks for {needed:g} {name}, this cluster has {has.get(name, 0.0):g}: "
                "lower train.workers, train.cpus or train.gpus."
            )


class Board:
    """A Ray actor. Workers post their progress and their error to it, and the driver reads them."""

    def __init__(self) -> None:
        self._progress: Progress | None = None
        self._error: EngineError | None = None

    def post(self, progress: Progress) -> None:
        self._progress = progress

    def progress(self) -> Progress | None:
        return self._progress

    def fail(self, error: EngineError) -> None:
        self._error = error

    def error(self) -> EngineError | None:
        return self._error


@contextlib.contextmanager
def _forward_progress(ray: Any, board: Any, on_progress: OnProgress) -> Any:
    """While the block runs, a thread calls `on_progress` with the workers' progress. It is called once more at
    the end.
    """
    import threading

    def forward() -> None:
        with contextlib.suppress(ray.exceptions.RayError):
            if progress := ray.get(board.progress.remote(), timeout=5):
                on_progress(progress)

    def poll() -> None:
        while not ended.wait(PROGRESS_SECONDS):
            forward()

    ended = threading.Event()
    thread = threading.Thread(target=poll, name="training-progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(timeout=10)
        forward()


def ray_worker(config: dict[str, Any]) -> None:
    """Runs in each worker of Ray Train. `config`: job, board, and the driver's import `paths`."""
    sys.path.extend(path for path in config["paths"] if path not in sys.path)
    import ray
    import torch
    from ray import train
    from ray.train.torch import get_device, prepare_model

    torch.set_num_threads(1)
    context, device = train.get_context(), get_device()
    board = config["board"]

    def post(progress: Progress) -> None:
        if context.get_world_rank() == 0:
            board.post.remote(progress)

    wrap = prepare_model if context.get_world_size() > 1 else None
    try:
        run_worker(config["job"], post, device=str(device), wrap=wrap)
    except (ConfigError, RunFailed) as error:  # every worker gets this error, and a restart would not help
        ray.get(board.fail.remote(error))


def _cause(error: BaseException) -> EngineError:
    """The EngineError that a worker raised. If there is none, a RunFailed with the last line of the first error."""
    failures = getattr(error, "worker_failures", None) or {}
    for failure in failures.values():
        cause = getattr(failure, "cause", failure)
        if isinstance(cause, EngineError):
            return cause
    first = next(iter(failures.values()), error)
    lines = [line for line in str(first).strip().splitlines() if line.strip()]
    return RunFailed(f"Training ended: {lines[-1] if lines else type(first).__name__}")
