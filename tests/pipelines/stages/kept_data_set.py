"""Data sets made by earlier versions, kept in tests/golden, and what tests do with them."""

from __future__ import annotations

import tarfile
from pathlib import Path

from typer.testing import CliRunner

from pipelines.cli.commands import app

GOLDEN = Path(__file__).parents[2] / "golden"


def unpacked(name: str, folder: Path) -> Path:
    """Unpacks data-set-of-<name>.tar.xz, which holds recipe.yaml and the data set `set`. Returns the data set."""
    with tarfile.open(GOLDEN / f"data-set-of-{name}.tar.xz") as tar:
        tar.extractall(folder, filter="data")
    return folder / "set"


def output_of(*arguments: str, exit_code: int = 0) -> str:
    """What `engine` prints in the current folder."""
    result = CliRunner().invoke(app, list(arguments))
    if exit_code == 0:
        assert result.exception is None, (arguments, result.output)
    assert result.exit_code == exit_code, (arguments, result.output)
    return result.output
