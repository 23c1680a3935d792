"""The training loop: resumed, with micro-batches, and with several workers, it gives the same weights."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.multiprocessing
from torch import Tensor

from engine.errors import ConfigError, RunFailed
from engine.storage.files import Storage
from model.network.florence import Florence, load
from model.pairs.locations import BINS
from model.training.augment import Augment
from model.training.auxiliary import Cells, Head, classes_of
from model.training.batches import Batches
from model.training.checkpoints import Checkpoints
from model.training.loop import Step, Training, learning_rate
from model.training.objective import Objective
from model.training.options import TrainOptions
from model.training.pair_store import PixelStore, open_pairs
from model.training.sampling import Schedule
from tests.model.world_pairs import untrained, write_pairs


def trained_with(**given: Any) -> TrainOptions:
    return TrainOptions(**{"learning_rate": 1e-4, **given})


OPTIONS = trained_with(steps=6, batch_size=8, warmup=2, learning_rate=2e-3, checkpoint_every=2, seed=3, auxiliary=1.0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with pairs and, in init/, a checkpoint."""
    folder = tmp_path_factory.mktemp("world")
    untrained(write_pairs(folder)).save(folder / "init")
    return folder


def training(
    folder: Path, options: TrainOptions = OPTIONS, *, keep: str = "", rank: int = 0, world: int = 1
) -> Training:
    florence = load(str(folder / "init"))
    return of(florence, folder, options, keep=keep, rank=rank, world=world)


def of(florence: Florence, folder: Path, options: TrainOptions, *, keep: str, rank: int, world: int) -> Training:
    scratch = folder / f"scratch-{keep}-{rank}-{world}"
    store = open_pairs([str(folder / "pairs-train-00000.parquet")], florence, scratch)
    classes = classes_of(store) if options.auxiliary else {}
    batches = Batches(
        store,
        PixelStore(florence.size),
        florence,
        Schedule(store.counts, temperature=0.7, seed=options.seed),
        batch_size=options.batch_size,
        accumulate=options.accumulate,
        rank=rank,
        world=world,
        augment=Augment(flip=True, scale=0.2, shift=0.1, order="reading", seed=options.seed),
        cells=Cells(classes, grid=4) if classes else None,
    )
    objective = Objective(
        florence.model,
        first_location=florence.vocabulary.first_location,
        bins=BINS,
        auxiliary=Head(96, len(classes)) if classes else None,
    )
    checkpoints = Checkpoints(Storage(str(folder)), keep, "a key") if keep else None
    wrap = functools.partial(torch.nn.parallel.DistributedDataParallel) if world > 1 else None
    return Training(objective, batches, options, checkpoints=checkpoints, wrap=wrap)


@pytest.fixture(scope="module")
def alone(folder: Path) -> tuple[list[float], dict[str, Tensor]]:
    """(figures, weights) of an undisturbed training."""
    one = training(folder)
    return figures(one), one.weights()


def figures(one: Training) -> list[float]:
    """The loss, the gradient norm and the two losses of the auxiliary head, of each step."""
    return [value for step in one.run() for value in (step.loss, step.norm, *map(_mean, _cells(step)))]


def _cells(step: Step) -> list[tuple[float, int]]:
    return [step.losses.get(f"auxiliary {kind}", (0.0, 1)) for kind in ("classes", "locations")]


def _mean(loss: tuple[float, int]) -> float:
    return loss[0] / loss[1]


def test_the_losses_fall(alone: tuple[list[float], Any]) -> None:
    first, last = alone[0][:4], alone[0][-4:]

    assert last[0] < first[0] - 0.3
    assert last[2] < first[2] - 0.1
    assert last[3] < first[3] - 0.02


def test_an_interrupted_training_ends_with_the_same_weights(
    folder: Path, alone: tuple[list[float], dict[str, Tensor]]
) -> None:
    steps: Iterator[Any] = training(folder, keep="cut").run()
    for _ in range(5):  # its newest checkpoint is that of step 4
        next(steps)
    resumed = training(folder, keep="cut")

    assert figures(resumed) == alone[0][4 * 4 :]
    assert resumed.weights().keys() == alone[1].keys()
    assert all(torch.equal(value, alone[1][name]) for name, value in resumed.weights().items())


def test_two_checkpoints_are_kept_and_an_incomplete_one_is_ignored(folder: Path) -> None:
    storage = Storage(str(folder))
    for _ in training(folder, trained_with(steps=9, batch_size=2, checkpoint_every=2), keep="many").run():
        pass
    assert sorted(storage.names("many/checkpoints")) == ["00000006", "00000008"]
    storage.remove("many/checkpoints/00000008/state.json")

    found = Checkpoints(storage, "many", "a key").last()

    assert found
    assert found[2]["step"] == 6


def test_checkpoints_with_another_key_are_refused(folder: Path) -> None:
    for _ in training(folder, trained_with(steps=3, batch_size=2, checkpoint_every=2), keep="other").run():
        pass

    with pytest.raises(ConfigError, match="holds checkpoints of a training with other options"):
        Checkpoints(Storage(str(folder)), "other", "another key").last()


def test_micro_batches_give_the_same_weights_as_whole_batches(
    folder: Path, alone: tuple[list[float], dict[str, Tensor]]
) -> None:
    options = OPTIONS.model_copy(update={"accumulate": 4, "checkpoint_every": 0})

    assert figures(training(folder, options)) == pytest.approx(alone[0], rel=1e-3)


def test_two_workers_give_the_same_weights_as_one(folder: Path, alone: tuple[list[float], dict[str, Tensor]]) -> None:
    # Forked, because a process that imports torch again takes five seconds.
    torch.multiprocessing.start_processes(_worker, (folder,), nprocs=2, start_method="fork")

    workers = [torch.load(folder / f"figures-{rank}.pt", weights_only=True) for rank in (0, 1)]

    assert workers[0]["figures"] == pytest.approx(alone[0], rel=1e-3)
    for name, value in workers[0]["weights"].items():
        assert torch.equal(value, workers[1]["weights"][name])
        assert torch.allclose(value, alone[1][name], atol=5e-3)


def _worker(rank: int, folder: Path) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    one = training(folder, OPTIONS.model_copy(update={"checkpoint_every": 0}), rank=rank, world=2)
    torch.save({"figures": figures(one), "weights": one.weights()}, folder / f"figures-{rank}.pt")
    torch.distributed.destroy_process_group()


def test_a_training_that_diverges_is_stopped(folder: Path) -> None:
    broken = training(folder, trained_with(steps=50, batch_size=4, warmup=0, learning_rate=1e18, clip=1e30))

    with pytest.raises(RunFailed, match=r"Training diverged at step \d+: the norm of its gradient is (nan|inf)"):
        for _ in broken.run():
            pass


def test_the_learning_rate_rises_then_falls_to_its_final_share() -> None:
    options = trained_with(steps=1100, warmup=100, learning_rate=1.0)

    rates = [learning_rate(options, step) for step in range(1101)]

    assert rates[0] == pytest.approx(0.01)
    assert rates[99] == 1.0
    assert rates[600] == pytest.approx(0.51, abs=1e-3)
    assert rates[1100] == pytest.approx(0.02)
    assert rates[100:] == sorted(rates[100:], reverse=True)


def test_a_frozen_vision_tower_does_not_move(folder: Path) -> None:
    florence = load(str(folder / "init"))
    florence.model.model.vision_tower.requires_grad_(False)
    one = of(florence, folder, trained_with(steps=2, batch_size=4, warmup=0), keep="", rank=0, world=1)
    before = {name: value.clone() for name, value in one.weights().items()}
    for _ in one.run():
        pass

    moved = {name for name, value in one.weights().items() if not torch.equal(value, before[name])}

    assert moved
    assert not any("vision_tower" in name for name in moved)
