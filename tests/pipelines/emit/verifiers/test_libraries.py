"""What DuckDB and torch's DataLoader find in a release."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipelines.emit.verifiers import torch_loader
from pipelines.emit.verifiers.check import render_checks
from pipelines.emit.verifiers.duckdb_checks import duckdb_check
from pipelines.emit.verifiers.torch_loader import torch_checks
from tests.pipelines.emit.small_release import drawn, full, mixed, write


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(
        tmp_path_factory.mktemp("libraries") / "v1", mixed(), [full(drawn("PNG", 9))], splits=["train", "valid"]
    )


def manifest(folder: Path) -> Any:
    return json.loads((folder / "manifest.json").read_text())


def test_duckdb_counts_splits_annotations_and_pairs(release: Path) -> None:
    check = duckdb_check(release, manifest(release))
    assert (check.faults, check.detail) == ([], "2 tables and 2 of pairs")


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda m: m["counts"].update(images=9), "4 images in the tables, the manifest has 9"),
        (lambda m: m["counts"].update(phrases=0), "2 phrases in the tables, the manifest has 0"),
        (lambda m: m["splits"].update(train=2), "3 train images, the manifest has 2"),
        (lambda m: m["pairs"]["proven"].update({"<OD>": 8}), "2 <OD> pairs, the manifest has 8"),
    ],
)
def test_a_manifest_with_other_numbers_is_reported(release: Path, change: Callable[[Any], None], fault: str) -> None:
    lying = manifest(release)
    change(lying)
    assert duckdb_check(release, lying).faults == [fault]


def test_a_table_that_duckdb_cannot_read_is_reported(release: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(release, tmp_path / "v1"))
    (folder / "train-00000.parquet").write_bytes(b"PAR1")
    assert duckdb_check(folder, manifest(folder)).faults[0].startswith("the tables: ")


def test_a_dataloader_with_two_workers_gives_every_sample_once(release: Path) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("webdataset")
    (check,) = torch_checks(release, manifest(release))
    assert (check.faults, check.detail) == ([], "4 samples")


def test_a_sample_that_is_there_twice_is_reported(release: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("webdataset")
    folder = Path(shutil.copytree(release, tmp_path / "v1"))
    shutil.copy(folder / "train-00000.tar", folder / "valid-00000.tar")
    (check,) = torch_checks(folder, manifest(folder))
    assert check.faults == ["6 samples, 3 distinct, the manifest has 4"]


def test_without_torch_the_check_is_skipped_by_name(release: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch_loader, "ask", lambda *_: {"missing": "torch"})
    checks = torch_checks(release, manifest(release))
    assert render_checks(checks).startswith(
        "skip torch's DataLoader with 2 workers gives every sample once: torch is not installed: "
    )
    assert "ok" not in render_checks(checks)[:6]
