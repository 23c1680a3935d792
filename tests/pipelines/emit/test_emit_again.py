"""Releases that were interrupted or damaged, and are completed by the same command."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from pipelines.emit import shard
from pipelines.emit.write_shard import write_shard
from pipelines.stages.dry_run import dry_run
from tests.pipelines.emit.emitted import check, draw, run, tars, up_to_emit, wanted
from tests.runs import release_files


def test_an_emit_that_was_killed_within_a_tar_is_completed_with_the_same_bytes(
    tmp_path: Path, without_datasets: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw(tmp_path / "photos")
    run(wanted(tmp_path, "undisturbed"))
    shards: list[str] = []

    def killed(paths: Mapping[str, str], *arguments: Any) -> Any:
        shards.append(paths["webdataset"])
        if len(shards) == 2:
            Path(paths["webdataset"]).write_bytes(b"half a tar")
            raise KeyboardInterrupt
        return write_shard(paths, *arguments)

    monkeypatch.setattr(shard, "write_shard", killed)
    with pytest.raises(KeyboardInterrupt):
        run(wanted(tmp_path))
    release = tmp_path / "set/releases/v1"
    assert tars(release) == ["train-00000.tar"]
    assert not (release / "manifest.json").exists()
    run(wanted(tmp_path))
    assert len(shards) == 4, "the shard that was committed is not made again"
    assert release_files(tmp_path / "set") == release_files(tmp_path / "undisturbed")
    check(release)


@pytest.mark.parametrize("damage", ["gone", "cut", "other bytes"])
@pytest.mark.parametrize("name", ["train-00001.tar", "pairs-train-00001.parquet"])
def test_a_committed_shard_whose_file_was_damaged_before_the_manifest_is_written_again(
    tmp_path: Path, without_datasets: None, name: str, damage: str
) -> None:
    draw(tmp_path / "photos")
    run(wanted(tmp_path))
    release = tmp_path / "set/releases/v1"
    before = release_files(tmp_path / "set")
    (release / "manifest.json").unlink()
    file = release / name
    data = file.read_bytes()
    file.unlink()
    if damage != "gone":
        file.write_bytes(data[:700] if damage == "cut" else data[:-1] + b"x")
    run(wanted(tmp_path))
    assert release_files(tmp_path / "set") == before
    check(release)


@pytest.mark.parametrize("damage", ["gone", "cut"])
def test_a_finished_release_with_a_damaged_file_is_made_again_with_a_note(
    tmp_path: Path, without_datasets: None, damage: str
) -> None:
    draw(tmp_path / "photos")
    run(wanted(tmp_path))
    before = release_files(tmp_path / "set")
    file = tmp_path / "set/releases/v1/train-00000.tar"
    file.unlink() if damage == "gone" else os.truncate(file, 1)
    assert dry_run(wanted(tmp_path))[-1].why.startswith("'releases/v1/train-00000.tar' ")
    notes: list[str] = []
    run(wanted(tmp_path), on_note=notes.append)
    assert dry_run(wanted(tmp_path))[-1].why == "up to date"
    assert release_files(tmp_path / "set") == before
    assert [re.sub(r"[\d,]+ bytes", "N bytes", one) for one in notes] == [
        "'releases/v1/train-00000.tar' is gone: the release is made again."
        if damage == "gone"
        else f"'releases/v1/train-00000.tar' has N bytes, the manifest has {file.stat().st_size:,}: "
        "the release is made again."
    ]


def test_a_release_folder_that_was_deleted_is_made_again(tmp_path: Path, without_datasets: None) -> None:
    draw(tmp_path / "photos")
    run(wanted(tmp_path))
    before = release_files(tmp_path / "set")
    shutil.rmtree(tmp_path / "set/releases/v1")
    run(wanted(tmp_path))
    assert release_files(tmp_path / "set") == before
    check(tmp_path / "set/releases/v1")


def test_shards_of_an_abandoned_attempt_under_the_same_name_are_removed(tmp_path: Path, without_datasets: None) -> None:
    draw(tmp_path / "photos")
    run(wanted(tmp_path))
    release = tmp_path / "set/releases/v1"
    (release / "manifest.json").unlink()
    before = release_files(tmp_path / "set")
    shutil.copy(release / "train-00000.tar", release / "train-00007.tar")
    shutil.copy(release / "pairs-train-00000.parquet", release / "pairs-train-00007.parquet")
    run(wanted(tmp_path))
    assert release_files(tmp_path / "set") == before
    check(release)


def test_temporary_files_of_a_killed_process_are_removed(tmp_path: Path, without_datasets: None) -> None:
    draw(tmp_path / "photos", 3)
    up_to_emit(wanted(tmp_path))
    release = tmp_path / "set/releases/v1"
    release.mkdir(parents=True)
    dead = subprocess.Popen(["true"])
    dead.wait()
    finished = next((tmp_path / "set/boxes").iterdir())  # of which nothing is to do
    for folder in (release, finished, tmp_path / "set"):
        (folder / f".tmp-{socket.gethostname()}-{dead.pid}-0a1b2c3d").write_bytes(b"half a file")
    run(wanted(tmp_path))
    assert list((tmp_path / "set").rglob(".*")) == []
