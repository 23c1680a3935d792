"""`engine check --repair`: what it removes, rebuilds, and leaves to the user."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine.errors import EngineError
from pipelines.check.check import check
from pipelines.stages import run as stages
from tests.pipelines.check.damage import (
    contents,
    cut_in_half,
    empty,
    findings,
    first_file,
    flip_bit,
    relative_name,
    replace_by_folder,
    replace_by_list,
    small_recipe,
)
from tests.runs import release_files


@pytest.mark.parametrize("way", [empty, replace_by_list, replace_by_folder])
def test_a_run_rewrites_a_damaged_current_json_and_notes_it(
    made: Path, dataset: Path, way: Callable[[Path], None]
) -> None:
    before = (dataset / "current.json").read_bytes()
    way(dataset / "current.json")
    if way is replace_by_folder:
        with pytest.raises(EngineError, match="is a folder"):
            stages.run(small_recipe(made), runner="inline")
        return
    summary = stages.run(small_recipe(made), runner="inline")
    assert any("current.json was damaged" in note for note in summary.notes)
    assert (dataset / "current.json").read_bytes() == before


@pytest.mark.parametrize("name", ["current.json", "dataset.json"])
def test_repair_rewrites_control_files_from_the_latest_run(dataset: Path, name: str) -> None:
    before = (dataset / name).read_bytes()
    cut_in_half(dataset / name)
    assert findings(dataset, repair=True) == [("damaged", name)]
    assert (dataset / name).read_bytes() == before
    assert findings(dataset) == []


def _swap(dataset: Path, pattern: str) -> None:
    first, second, *_ = sorted(dataset.glob(pattern))
    first.write_bytes(second.read_bytes())


_DAMAGE: dict[str, Callable[[Path], Any]] = {
    "a record cut short": lambda d: cut_in_half(first_file(d, "boxes/*/00001.json")),
    "a record of another shard": lambda d: _swap(d, "boxes/*/*.json"),
    "a flipped bit in a data file": lambda d: flip_bit(first_file(d, "objects/*/*.parquet")),
    "a data file of another shard": lambda d: _swap(d, "quality/*/*.parquet"),
    "a data file that is gone": lambda d: first_file(d, "judge/*/*.parquet").unlink(),
    "an empty data file": lambda d: empty(first_file(d, "probe/*/*.parquet")),
    "a record of an image shard that is gone": lambda d: first_file(d, "images/00001.json").unlink(),
    "the last record of the image shards that is gone": lambda d: first_file(d, "images/00002.json").unlink(),
    "a damaged record of the inputs": lambda d: flip_bit(first_file(d, "inputs/00000.json")),
    "a record of the splits that is gone": lambda d: first_file(d, "splits/00000.json").unlink(),
    "an orphan": lambda d: (
        d / relative_name(d, first_file(d, "boxes/*/*.parquet").parent) / "00000-deadbeef.parquet"
    ).touch(),
    "a damaged run record": lambda d: empty(first_file(d, "runs/*/run.json")),
}


@pytest.mark.parametrize("damage", _DAMAGE)
def test_repair_and_a_run_restore_every_byte(made: Path, dataset: Path, damage: str) -> None:
    before = contents(dataset)
    _DAMAGE[damage](dataset)
    assert not check(str(dataset)).sound
    assert check(str(dataset), repair=True).sound
    stages.run(small_recipe(made), runner="inline")
    assert contents(dataset) == before
    assert check(str(dataset)).sound


def test_a_damaged_table_of_images_is_not_removed(dataset: Path) -> None:
    path = first_file(dataset, "images/00001-*.parquet")
    flip_bit(path)
    found = check(str(dataset), repair=True)
    assert not found.sound
    (finding,) = found.findings
    assert (finding.kind, finding.path) == ("damaged", relative_name(dataset, path))
    assert "restore it from a backup" in finding.repair
    assert path.exists()


def test_answers_made_from_one_that_may_come_out_different_are_removed_too(dataset: Path) -> None:
    current = dataset / "current.json"
    current.unlink()  # without it, it is unknown whether the detector is deterministic
    flip_bit(first_file(dataset, "boxes/*/00001-*.parquet"))
    check(str(dataset), repair=True)
    for folder in ("boxes", "objects", "judge"):
        assert not list(dataset.glob(f"{folder}/*/00001*")), folder
        assert len(list(dataset.glob(f"{folder}/*/*.json"))) == 2
    assert len(list(dataset.glob("quality/*/*.json"))) == 3


def test_damage_in_a_release_is_reported_and_the_release_is_kept(dataset: Path) -> None:
    for name in ("train-00000.tar", "pairs-train-00000.parquet", "README.md"):
        if (path := dataset / "releases/v1" / name).exists():
            flip_bit(path)
            found = check(str(dataset), repair=True)
            assert [(one.kind, one.path) for one in found.findings] == [("damaged", f"releases/v1/{name}")]
            assert "another name" in found.findings[0].repair
            flip_bit(path)


def test_a_run_rewrites_a_damaged_manifest(made: Path, dataset: Path) -> None:
    files = release_files(dataset)
    cut_in_half(dataset / "releases/v1/manifest.json")
    stages.run(small_recipe(made), runner="inline")
    assert release_files(dataset) == files
    assert check(str(dataset)).sound
