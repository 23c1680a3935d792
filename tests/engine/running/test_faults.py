"""Faults of workers, as local processes and on real Ray: crashes, hangs, kills, full disks.

No image may be lost, doubled or changed. Each test compares its release with one made without faults: the same bytes,
except for the images that failed.
"""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path
from typing import Any

import pytest

from engine.errors import EngineError, RunFailed
from pipelines.recipe import Recipe, parse_recipe
from pipelines.stages import run as stages
from pipelines.stages.run import Summary
from tests.runs import (
    check_commits,
    commits,
    draw_photos,
    engine,
    engine_in_background,
    failures,
    journal,
    recipe,
    recipe_data,
    release_files,
    released_ids,
    wait_until,
    write_recipe,
)

# How many photos are annotated. A worker of Ray takes a second of processor time to start, and a shard with a crash is
# halved until the image is found, with fresh workers for each half.
COUNT = {"local": 200, "ray": 20}
SHARDS = 10  # of a data set whose driver is killed, or that two drivers make
TWO = {"max_workers": 2}  # the parts of a shard that was split run at the same time


@pytest.fixture(scope="module", params=COUNT)
def runner(request: pytest.FixtureRequest) -> str:
    if request.param == "ray":
        request.getfixturevalue("ray_cluster")
    return str(request.param)


@pytest.fixture(scope="module")
def photos(runner: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    draw_photos(folder, COUNT[runner])
    return folder


@pytest.fixture(scope="module")
def ids(photos: Path, runner: str) -> list[str]:
    return draw_photos(photos, COUNT[runner])


@pytest.fixture(scope="module")
def undisturbed(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One shard, made in this process."""
    dataset = tmp_path_factory.mktemp("undisturbed")
    stages.run(recipe(dataset, photos, {}), runner="inline")
    return dataset


@pytest.fixture(scope="module")
def undisturbed_in_shards(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SHARDS shards, made in this process: `test_all_runners_write_the_same_bytes`."""
    dataset = tmp_path_factory.mktemp("shards")
    stages.run(recipe(dataset, photos, {}, ingest=in_shards(photos)), runner="inline")
    return dataset


def annotate(wanted: Recipe, runner: str) -> Summary:
    """Annotates with a runner: only the detectors, which have the faults. All else runs here, because starting a worker
    takes longer than its work.

    `test_all_runners_write_the_same_bytes` runs all nodes of all stages with the runner.
    """
    stages.run(wanted, stage="ingest", runner="inline")
    detectors = {name: node for name, node in wanted.annotate.items() if name != "objects"}
    summary = stages.run(wanted.model_copy(update={"annotate": detectors}), stage="annotate", runner=runner)
    rest = stages.run(wanted, runner="inline")
    assert not detectors.keys() & rest.tallies.keys(), "the runner left work undone"
    return summary


def in_shards(photos: Path) -> dict[str, Any]:
    """The section `ingest` of a recipe with SHARDS shards."""
    return {"sources": [{"folder": str(photos)}], "shard_size": len(list(photos.iterdir())) // SHARDS}


def test_all_runners_write_the_same_bytes(photos: Path, undisturbed: Path, tmp_path: Path, runner: str) -> None:
    stages.run(recipe(tmp_path, photos, {}), runner=runner)
    assert release_files(tmp_path) == release_files(undisturbed)


def test_a_segfault_costs_one_image(
    photos: Path, ids: list[str], undisturbed: Path, tmp_path: Path, runner: str
) -> None:
    lost = ids[len(ids) * 2 // 5]
    # On Ray, where each crash costs a second, the shard is cut at the batch, and halved only once after that.
    fewer = {"ray": {"batch_size": 2}, "local": {}}[runner]
    annotate(recipe(tmp_path, photos, {"segfault_on": [lost], **fewer}, run={**TWO, "image_attempts": 2}), runner)
    _assert_one_lost(tmp_path, undisturbed, lost, "crash")


def test_an_exception_costs_one_image(
    photos: Path, ids: list[str], undisturbed: Path, tmp_path: Path, runner: str
) -> None:
    annotate(recipe(tmp_path, photos, {"raise_on": [ids[5]]}), runner)
    _assert_one_lost(tmp_path, undisturbed, ids[5], "raised")


def test_a_hang_that_holds_the_gil_costs_one_image(
    photos: Path, ids: list[str], undisturbed: Path, tmp_path: Path, runner: str
) -> None:
    # Each part of the shard waits for the timeout. Another image fails only if a busy machine delays it twice.
    options = {"hang_on": [ids[-1]], "batch_size": 2, "timeout_s": 2}
    annotate(recipe(tmp_path, photos, options, run={"image_attempts": 2}), runner)
    _assert_one_lost(tmp_path, undisturbed, ids[-1], "timeout")


def _assert_one_lost(dataset: Path, undisturbed: Path, lost: str, reason: str) -> None:
    found = failures(dataset, "boxes")
    assert [(failure["image_id"], failure["reason"]) for failure in found] == [(lost, reason)]
    assert released_ids(dataset) == released_ids(undisturbed) - {lost}
    assert _rows_without(undisturbed, lost) == _rows_without(dataset, lost)
    check_commits(dataset)


def _rows_without(dataset: Path, image_id: str) -> list[dict[str, Any]]:
    """The released rows without one image, and without their positions in the tar."""
    import pyarrow.parquet as pq

    rows = [
        row
        for path in sorted((dataset / "releases/v1").glob("train-*.parquet"))
        for row in pq.read_table(path).to_pylist()
    ]
    assert rows, "nothing was released"
    place = ("tar", "offset", "length")
    return [{k: v for k, v in row.items() if k not in place} for row in rows if row["image_id"] != image_id]


def test_a_batch_that_runs_out_of_memory_is_halved(
    photos: Path, undisturbed: Path, tmp_path: Path, runner: str
) -> None:
    summary = annotate(recipe(tmp_path, photos, {"out_of_memory_above": 4}), runner)
    assert release_files(tmp_path) == release_files(undisturbed)
    assert any("batch halved to 4" in note for note in summary.tallies["boxes"].notes)


def test_a_worker_that_turns_sick_fails_no_image(photos: Path, undisturbed: Path, tmp_path: Path, runner: str) -> None:
    summary = annotate(recipe(tmp_path, photos, {"sick_from": COUNT[runner] * 3 // 5}), runner)
    assert failures(tmp_path, "boxes") == []
    assert release_files(tmp_path) == release_files(undisturbed)
    assert any("fresh worker succeeds" in note for note in summary.tallies["boxes"].notes)


def test_a_component_that_fails_on_everything_ends_the_run(photos: Path, tmp_path: Path, runner: str) -> None:
    failing = recipe(tmp_path, photos, {"raise_on": [""]}, run={"max_failures": COUNT[runner] // 4})
    stages.run(failing, stage="ingest", runner="inline")
    with pytest.raises(RunFailed, match=r"more than run\.max_failures"):
        stages.run(failing, runner=runner)


def test_a_component_that_cannot_start_ends_the_run(photos: Path, tmp_path: Path, runner: str) -> None:
    unable = recipe(tmp_path, photos, {"start_fails": True})
    stages.run(unable, stage="ingest", runner="inline")
    with pytest.raises(EngineError, match=r"boxes cannot start: .*start_fails is set"):
        stages.run(unable, runner=runner)


def test_a_killed_worker_loses_nothing(photos: Path, undisturbed: Path, tmp_path: Path, runner: str) -> None:
    diary, count = tmp_path / "journal", COUNT[runner]
    slow = recipe(tmp_path / "set", photos, {"slow_s": 2 / count, "journal": str(diary)}, run=TWO)

    def kill() -> None:
        wait_until(lambda: len(journal(diary)) >= 0.3 * count)
        os.kill(int(diary.read_text().split()[0]), signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    summary = annotate(slow, runner)
    killer.join()
    assert release_files(tmp_path / "set") == release_files(undisturbed)
    assert any("worker lost" in note for note in summary.tallies["boxes"].notes)


def test_the_same_command_continues_after_the_driver_was_killed(
    photos: Path, undisturbed_in_shards: Path, tmp_path: Path, runner: str
) -> None:
    """On a shared cluster of Ray; benchmarks/slow does the same on a private one, which takes long to start."""
    options = joining() if runner == "ray" else ["--runner", runner]
    kill_driver_and_continue(photos, undisturbed_in_shards, tmp_path, options, share=0.2)


def kill_driver_and_continue(
    photos: Path, undisturbed_in_shards: Path, tmp_path: Path, options: list[str], *, share: float
) -> None:
    dataset, diary = tmp_path / "set", tmp_path / "journal"
    count = len(list(photos.iterdir()))
    detector = {"slow_s": 4 / count, "journal": str(diary)}
    data = recipe_data(dataset, photos, detector, ingest=in_shards(photos), run=TWO)
    joined = "--address" in options
    command = _command(tmp_path, data, options, annotate_only=joined)
    driver = engine_in_background(*command)
    try:
        wait_until(lambda: len(commits(dataset, "boxes")) >= SHARDS * share)
    finally:
        os.killpg(driver.pid, signal.SIGKILL)
        driver.wait()
    if not joined:
        workers = {int(line.split()[0]) for line in diary.read_text().splitlines()}
        wait_until(lambda: not any(Path(f"/proc/{worker}").exists() for worker in workers), 10.0)
    before = {record: record.read_bytes() for record in commits(dataset, "boxes")}
    assert len(before) < SHARDS
    again = engine(*command)
    assert again.returncode == 0, again.stderr
    assert len(commits(dataset, "boxes")) == SHARDS
    if joined:
        stages.run(parse_recipe(data), runner="inline")
    assert release_files(dataset) == release_files(undisturbed_in_shards)
    assert all(record.read_bytes() == body for record, body in before.items()), "a commit was changed"
    computed = len(journal(diary))
    in_hand = 2 * TWO["max_workers"] * count // SHARDS
    assert computed <= count + in_hand, f"{computed} answers for {count} images: more than the shards in hand"
    check_commits(dataset)


def _command(folder: Path, data: dict[str, Any], options: list[str], *, annotate_only: bool) -> list[str]:
    """Writes the recipe. Returns a command that runs all of it, or its detector on photos that this ingests.

    A process of Ray takes a second to start, so only what is tested runs there.
    """
    if annotate_only:
        stages.run(parse_recipe(data), stage="ingest", runner="inline")
        data = data | {"annotate": {"boxes": data["annotate"]["boxes"]}}
        options = [*options, "--stage", "annotate"]
    return ["run", "-c", str(write_recipe(folder / "recipe.yaml", data)), *options]


def joining() -> list[str]:
    """Options to join the cluster of this session. Starting another one takes ten seconds."""
    import ray

    return ["--address", ray.get_runtime_context().gcs_address]


def test_two_drivers_at_once_write_one_consistent_data_set(photos: Path, tmp_path: Path, runner: str) -> None:
    dataset = tmp_path / "set"
    detector = {"random_answers": True, "slow_s": 1 / COUNT[runner]}
    data = recipe_data(dataset, photos, detector, ingest=in_shards(photos))
    options = joining() if runner == "ray" else ["--runner", runner]
    command = _command(tmp_path, data, options, annotate_only=runner == "ray")
    drivers = [engine_in_background(*command) for _ in range(2)]
    outputs = [driver.communicate(timeout=240)[0] for driver in drivers]
    assert [driver.returncode for driver in drivers] == [0, 0], outputs
    check_commits(dataset)
    assert len(commits(dataset, "boxes")) == SHARDS
    assert len(list(dataset.glob("boxes/*/*.parquet"))) == SHARDS, "files that no record names are left"
    stages.run(parse_recipe(data), runner="inline")
    assert len(released_ids(dataset)) == COUNT[runner]
    before = release_files(dataset)
    stages.run(parse_recipe(data), runner="inline")
    assert release_files(dataset) == before


@pytest.mark.usefixtures("ray_cluster")
def test_components_that_need_part_or_all_of_a_gpu_take_turns_on_one(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    draw_photos(folder, 12)
    wants = (1.0, 0.25, 0.25, 1.0)
    detectors = {f"d{n}": {"use": "faulty", "seed": n, "gpus": gpus, "cpus": 0.5} for n, gpus in enumerate(wants)}
    data = recipe_data(tmp_path / "set", folder, {}, annotate=detectors | {"objects": {"use": "consensus"}})
    data["ingest"]["shard_size"] = 4
    data["run"] = {"max_workers": 1}
    summary = annotate(parse_recipe(data), "ray")
    assert {name: tally.units for name, tally in summary.tallies.items() if name.startswith("d")} == dict.fromkeys(
        ["d0", "d1", "d2", "d3"], 3
    )
    assert len(released_ids(tmp_path / "set")) == 12
