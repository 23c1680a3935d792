"""The loop: what a resumed, an accumulated and a shared training must come to."""

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
from engine.storage import Storage
from model.augment import Augment
from model.batches import Batches
from model.checkpoints import Checkpoints
from model.florence import Florence, load
from model.locations import BINS
from model.objective import Objective
from model.pair_store import PixelStore, open_pairs
from model.sampling import Schedule
from model.training import Course, Training
from tests.model.world_pairs import untrained, write_pairs

COURSE = Course(steps=6, batch_size=8, warmup=2, learning_rate=2e-3, checkpoint_every=2, seed=3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pairs and a checkpoint in init/."""
    folder = tmp_path_factory.mktemp("world")
    untrained(write_pairs(folder)).save(folder / "init")
    return folder


def training(folder: Path, course: Course = COURSE, *, keep: str = "", rank: int = 0, world: int = 1) -> Training:
    florence = load(str(folder / "init"))
    return of(florence, folder, course, keep=keep, rank=rank, world=world)


def of(florence: Florence, folder: Path, course: Course, *, keep: str, rank: int, world: int) -> Training:
    scratch = folder / f"scratch-{keep}-{rank}-{world}"
    store = open_pairs([str(folder / "pairs-00000.parquet")], florence, scratch)
    batches = Batches(
        store,
        PixelStore(florence.size),
        florence,
        Schedule(store.counts, temperature=0.7, seed=course.seed),
        batch_size=course.batch_size,
        accumulate=course.accumulate,
        rank=rank,
        world=world,
        augment=Augment(flip=True, scale=0.2, shift=0.1, order="reading", seed=course.seed),
    )
    objective = Objective(florence.model, first_location=florence.vocabulary.first_location, bins=BINS)
    checkpoints = Checkpoints(Storage(str(folder)), keep, "a key") if keep else None
    wrap = functools.partial(torch.nn.parallel.DistributedDataParallel) if world > 1 else None
    return Training(objective, batches, course, checkpoints=checkpoints, wrap=wrap)


@pytest.fixture(scope="module")
def alone(folder: Path) -> tuple[list[float], dict[str, Tensor]]:
    """Losses and final weights of a training that nothing disturbed."""
    one = training(folder)
    return [step.loss for step in one.go()], one.weights()


def test_the_loss_falls(alone: tuple[list[float], Any]) -> None:
    losses, _ = alone

    assert losses[-1] < losses[0] - 0.3


def test_a_training_that_was_cut_off_ends_with_the_same_weights(
    folder: Path, alone: tuple[list[float], dict[str, Tensor]]
) -> None:
    steps: Iterator[Any] = training(folder, keep="cut").go()
    for _ in range(5):  # its newest checkpoint is that of step 4
        next(steps)
    resumed = training(folder, keep="cut")

    losses = [step.loss for step in resumed.go()]

    assert losses == alone[0][4:]
    assert resumed.weights().keys() == alone[1].keys()
    assert all(torch.equal(value, alone[1][name]) for name, value in resumed.weights().items())


def test_only_two_checkpoints_are_kept_and_half_a_one_is_none(folder: Path) -> None:
    storage = Storage(str(folder))
    for _ in training(folder, Course(steps=9, batch_size=2, checkpoint_every=2), keep="many").go():
        pass
    assert sorted(storage.names("many/checkpoints")) == ["00000006", "00000008"]
    storage.remove("many/checkpoints/00000008/state.json")

    found = Checkpoints(storage, "many", "a key").last()

    assert found
    assert found[2]["step"] == 6


def test_checkpoints_of_another_training_are_refused(folder: Path) -> None:
    for _ in training(folder, Course(steps=3, batch_size=2, checkpoint_every=2), keep="other").go():
        pass

    with pytest.raises(ConfigError, match="holds checkpoints of another training"):
        Checkpoints(Storage(str(folder)), "other", "another key").last()


def test_parts_of_a_batch_come_to_what_the_whole_does(
    folder: Path, alone: tuple[list[float], dict[str, Tensor]]
) -> None:
    course = Course(
        steps=6, batch_size=8, accumulate=4, warmup=2, learning_rate=2e-3, checkpoint_every=0, seed=COURSE.seed
    )

    losses = [step.loss for step in training(folder, course).go()]

    assert losses == pytest.approx(alone[0], rel=1e-3)


def test_two_workers_come_to_what_one_does(folder: Path, alone: tuple[list[float], dict[str, Tensor]]) -> None:
    torch.multiprocessing.spawn(_worker, (folder,), nprocs=2)

    told = [torch.load(folder / f"told-{rank}.pt", weights_only=True) for rank in (0, 1)]

    assert told[0]["losses"] == pytest.approx(alone[0], rel=1e-3)
    for name, value in told[0]["weights"].items():
        assert torch.equal(value, told[1]["weights"][name])
        assert torch.allclose(value, alone[1][name], atol=5e-3)


def _worker(rank: int, folder: Path) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    one = training(folder, Course(**{**_asdict(COURSE), "checkpoint_every": 0}), rank=rank, world=2)
    losses = [step.loss for step in one.go()]
    torch.save({"losses": losses, "weights": one.weights()}, folder / f"told-{rank}.pt")
    torch.distributed.destroy_process_group()


def _asdict(course: Course) -> dict[str, Any]:
    return {name: getattr(course, name) for name in course.__slots__}


def test_a_training_that_falls_apart_says_so(folder: Path) -> None:
    broken = training(folder, Course(steps=50, batch_size=4, warmup=0, learning_rate=1e18, clip=1e30))

    with pytest.raises(RunFailed, match=r"Training fell apart at step \d+: its gradient is (nan|inf)"):
        for _ in broken.go():
            pass


def test_the_rate_rises_then_falls_to_its_share() -> None:
    course = Course(steps=1100, warmup=100, learning_rate=1.0, final_share=0.02)

    rates = [course.rate(step) for step in range(1101)]

    assert rates[0] == pytest.approx(0.01)
    assert rates[99] == 1.0
    assert rates[600] == pytest.approx(0.51, abs=1e-3)
    assert rates[1100] == pytest.approx(0.02)
    assert rates[100:] == sorted(rates[100:], reverse=True)


def test_a_frozen_vision_tower_does_not_move(folder: Path) -> None:
    florence = load(str(folder / "init"))
    florence.model.model.vision_tower.requires_grad_(False)
    one = of(florence, folder, Course(steps=2, batch_size=4, warmup=0), keep="", rank=0, world=1)
    before = {name: value.clone() for name, value in one.weights().items()}
    for _ in one.go():
        pass

    moved = {name for name, value in one.weights().items() if not torch.equal(value, before[name])}

    assert moved
    assert not any("vision_tower" in name for name in moved)
