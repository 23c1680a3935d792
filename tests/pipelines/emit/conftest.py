"""Fixtures of tests of releases."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from pipelines.emit.verifiers.check import Check
from pipelines.emit.verifiers.datasets_program import KINDS, WAYS
from tests.pipelines.emit.boxes_release import boxes_release
from tests.pipelines.emit.damage import NOT_RUN
from tests.pipelines.emit.every_task import shards
from tests.pipelines.emit.small_release import write


@pytest.fixture
def without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    """`verify` does not start torch's DataLoader, which takes three seconds. For tests of what `datasets` reads."""
    monkeypatch.setattr("pipelines.emit.verify.torch_checks", lambda *_: [])


@pytest.fixture
def without_datasets(without_torch: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """`verify` starts neither `datasets` nor torch, which take seconds.

    The checks by `datasets` fail, and tests leave them out.
    """
    answers = {name: {"error": "not asked"} for name in (f"{kind} {way}" for kind in KINDS for way in WAYS)}
    monkeypatch.setattr("pipelines.emit.verifiers.datasets.ask", lambda *_: answers)
    monkeypatch.setattr("pipelines.emit.verifiers.chat.read_jsonl", lambda *_: {})


@pytest.fixture(scope="session")
def every_task(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A release with pairs of every task, as tars, tables of pairs and lines for Florence-2. Do not change it."""
    recipe = {"emit": {"formats": ["webdataset", "pairs", "florence2"]}}
    return write(tmp_path_factory.mktemp("every-task") / "v1", *shards(), recipe=recipe)


@pytest.fixture(scope="session")
def boxes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A release in the formats coco, yolo and imagefolder. Tests must not change it."""
    return boxes_release(tmp_path_factory.mktemp("boxes") / "v1")


@pytest.fixture
def own_rules_only(without_datasets: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """No reader runs in a process of its own, which takes seconds. So the checks without them must find a fault."""
    not_run = subprocess.CompletedProcess([], 1, "", NOT_RUN)
    monkeypatch.setattr("subprocess.run", lambda *_, **__: not_run)
    monkeypatch.setattr("pipelines.emit.verify.duckdb_check", lambda *_: Check("duckdb"))
