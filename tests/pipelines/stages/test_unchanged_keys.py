"""A data set made before the modules moved into their rooms is up to date: no key has changed.

golden/data-set-of-a1a8a12.tar.xz was made at commit a1a8a12 by `engine run -c recipe.yaml --runner local` of the recipe
inside: ten drawn scenes in two shards, every kind of node that needs no weights, one accepted round of refinement and a
release. Its runs/ and the weights of its
student were removed.
"""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipelines.cli.commands import app

KEPT = Path(__file__).parents[2] / "golden" / "data-set-of-a1a8a12.tar.xz"
NODES = """
probe noisy detector quality objects outlines judge-regions captions parse-captions phrases survey judge emit
round-1-given round-1-propose round-1-merge round-1-judge-regions round-1-captions round-1-parse-captions
round-1-phrases"""


@pytest.fixture
def dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    with tarfile.open(KEPT) as tar:
        tar.extractall(tmp_path, filter="data")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "set"


def output_of(*arguments: str) -> str:
    result = CliRunner().invoke(app, list(arguments))
    assert (result.exit_code, result.exception) == (0, None), (arguments, result.output)
    return result.output


def files(folder: Path) -> dict[str, int]:
    return {
        path.relative_to(folder).as_posix(): path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()
    }


def test_a_dry_run_finds_every_node_up_to_date(dataset: Path) -> None:
    lines = output_of("run", "-c", "recipe.yaml", "--dry-run").splitlines()
    rows = {line.split()[0]: line for line in lines}
    for node in NODES.split():
        assert rows[node].endswith("up to date"), rows[node]
    assert lines[-1] == "Nothing to do."


def test_a_run_does_nothing(dataset: Path) -> None:
    before = files(dataset)
    output = output_of("run", "-c", "recipe.yaml", "--runner", "local")
    assert "everything is up to date" in output
    assert "release releases/v1: 8 images, 24 regions, 4 texts, 4 phrases, 82 pairs" in output
    after = files(dataset)
    assert {name for name in after if not name.startswith("runs/")} == set(before)
    assert {name for name, time in before.items() if after[name] != time} <= {"current.json"}
