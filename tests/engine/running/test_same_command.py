"""The same command again: only what is missing is computed, and nothing that is committed is changed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from engine.images.decode import image_id
from engine.running.messages import Unit
from engine.running.worker import Worker, WorkerContext
from pipelines.annotate.annotation_nodes import annotation_nodes
from pipelines.stages import run as stages
from tests.runs import (
    commits,
    draw_photos,
    engine,
    failures,
    journal,
    recipe,
    recipe_data,
    release_files,
    released_ids,
    write_recipe,
)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    draw_photos(folder, 60)
    return folder


def test_a_worker_with_old_options_does_not_change_the_data_set(photos: Path, tmp_path: Path) -> None:
    old, new = recipe(tmp_path, photos, {"seed": 1}), recipe(tmp_path, photos, {"seed": 2})
    stages.run(new, runner="inline")
    before = release_files(tmp_path)
    nodes = {node.name: node for node in annotation_nodes(old)}
    orphan = Worker(nodes["boxes"], WorkerContext(nodes, str(tmp_path)), guarded=False)
    orphan.load()
    messages = list(orphan.run(Unit("boxes", 0, 0, {"images": 0})))
    assert messages[-1].committed  # type: ignore[union-attr]  # under its own key
    again = stages.run(new, runner="inline")
    assert not any(tally.units for tally in again.tallies.values())
    assert release_files(tmp_path) == before


def test_a_full_disk_stops_the_run_with_one_sentence_and_loses_nothing(photos: Path, tmp_path: Path) -> None:
    dataset = tmp_path / "set"
    stages.run(recipe(tmp_path / "undisturbed", photos, {}), runner="inline")
    path = write_recipe(tmp_path / "recipe.yaml", recipe_data(dataset, photos, {}))
    assert engine("run", "-c", str(path), "--stage", "ingest", "--runner", "inline").returncode == 0
    full = _engine_with_small_files(path)
    assert full.returncode == 1, full.stdout + full.stderr
    assert "File too large" in full.stderr
    assert len(full.stderr.strip().splitlines()) == 1
    assert commits(dataset, "boxes") == []
    stages.run(recipe(dataset, photos, {}), runner="inline")
    assert release_files(dataset) == release_files(tmp_path / "undisturbed")


def _engine_with_small_files(path: Path) -> Any:
    """Run the command with a limit of 2 kB on file sizes, so that the kernel refuses to write at a commit."""
    code = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000));"
        "from pipelines.cli.commands import app; app()"
    )
    command = [sys.executable, "-c", code, "run", "-c", str(path), "--stage", "annotate", "--runner", "inline"]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])}
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env=environment)


def test_adding_one_photo_annotates_one_photo(tmp_path: Path) -> None:
    folder, dataset, diary = tmp_path / "photos", tmp_path / "set", tmp_path / "journal"
    draw_photos(folder, 30)
    options = {"journal": str(diary)}
    stages.run(recipe(dataset, folder, options, emit={}), runner="inline")
    before = {path: path.read_bytes() for path in dataset.glob("boxes/*/*")}
    diary.unlink()
    added = draw_photos(folder, 31)[-1]
    stages.run(recipe(dataset, folder, options, emit={"name": "v2"}), runner="inline")
    assert journal(diary) == [added]
    assert all(path.read_bytes() == body for path, body in before.items())
    assert len(released_ids(dataset, "v2")) == 31


def test_failed_images_are_annotated_again_only_with_retry_failed(tmp_path: Path) -> None:
    folder, dataset, diary = tmp_path / "photos", tmp_path / "set", tmp_path / "journal"
    draw_photos(folder, 20)
    wanted = recipe(dataset, folder, {"journal": str(diary)}, emit={})
    stages.run(wanted, stage="ingest", runner="inline")
    hidden = folder / "00007.png"
    data = hidden.read_bytes()
    hidden.unlink()
    given_up = recipe(dataset, folder, {"journal": str(diary)}, emit={}, run={"missing": "fail"})
    stages.run(given_up, stage="annotate", runner="inline")
    assert [failure["reason"] for failure in failures(dataset, "boxes")] == ["missing"]
    hidden.write_bytes(data)
    diary.unlink()
    stages.run(wanted, runner="inline")
    assert journal(diary) == [], "a committed failure must only be retried with --retry-failed"
    summary = stages.run(wanted, runner="inline", retry_failed=True)
    assert journal(diary) == [image_id(data)]
    assert summary.manifest
    assert summary.manifest["counts"]["images"] == 20
