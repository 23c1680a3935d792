"""Tests that take too long for `make test`. `make slow` runs them, in three minutes on two idle cores."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.detectors import words_read
from model.training.job import Progress
from pipelines.recipe import parse_recipe
from pipelines.training.train import train
from tests.conftest import ray_cluster as ray_cluster
from tests.engine.running.test_faults import joining, kill_driver_and_continue
from tests.engine.running.test_faults import photos as photos
from tests.engine.running.test_faults import runner as runner
from tests.engine.running.test_faults import undisturbed_in_shards as undisturbed_in_shards
from tests.pipelines.training.test_train import Data, run, with_train
from tests.pipelines.training.test_train import released as released
from tests.shared_data import shared


def test_two_workers_of_ray_one_of_them_killed_have_the_curve_of_one(released: Data, ray_cluster: None) -> None:
    steps: dict[str, Any] = {"steps": 16, "checkpoint_every": 4}
    killed: list[int] = []

    def kill(progress: Progress) -> None:
        if not killed and progress.step < 12:
            killed.extend(list(_train_workers())[:1])
            for process in killed:
                os.kill(process, signal.SIGKILL)

    recipe = parse_recipe(with_train(released, name="two", workers=2, **steps))
    resumed = train(recipe, runner="ray", on_progress=kill).record

    assert killed
    assert resumed["workers"] == 2
    alone = run(released, name="alone", **steps).record
    assert resumed["loss"] == pytest.approx(alone["loss"], rel=2e-2)


def _train_workers() -> Iterator[int]:
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            named = b"RayTrainWorker" in path.read_bytes()
        except OSError:
            continue
        if named and _is_of_this_session(int(path.parent.name)):
            yield int(path.parent.name)


def _is_of_this_session(process: int) -> bool:
    """Whether the process is a descendant of this one, as its Ray cluster is."""
    while process > 1:
        try:
            fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return False
        process = int(fields[1])
        if process == os.getpid():
            return True
    return False


def test_it_reads_most_legible_words_of_street_photos() -> None:
    read, legible, _ = words_read(shared("scene_text/dev"))
    assert legible == 192
    assert read >= 135


@pytest.mark.parametrize("runner", ["ray"], indirect=True)
@pytest.mark.parametrize(("own", "share"), [(True, 0.2), (False, 0.8)])
def test_a_killed_driver_goes_on_with_the_same_command(
    photos: Path, undisturbed_in_shards: Path, tmp_path: Path, *, own: bool, share: float
) -> None:
    options = ["--runner", "ray"] if own else joining()
    kill_driver_and_continue(photos, undisturbed_in_shards, tmp_path, options, share=share)


def test_every_adapter_is_measured_by_the_benchmark_for_gpus(capsys: pytest.CaptureFixture[str]) -> None:
    from benchmarks import gpu

    given = ["--device", "cpu", "--tiny", "--seconds", "0", "--check", "2", "--steps", "3", "--batches", "1", "2"]
    assert gpu.main(given) == 0
    assert "not measured" not in capsys.readouterr().out
