"""What `engine --help` says, word for word: it is the first thing anybody reads, and scripts are written by it."""

from __future__ import annotations

import os
from pathlib import Path

from typer.testing import CliRunner

from pipelines.cli.commands import app

GOLDEN = Path(__file__).parents[2] / "golden" / "help.txt"


def test_the_help_is_the_golden_one() -> None:
    """UPDATE_GOLDEN=1 writes it anew, to be read before it is committed."""
    said = CliRunner().invoke(app, ["--help"], prog_name="engine", terminal_width=100).output
    if os.environ.get("UPDATE_GOLDEN"):
        GOLDEN.write_text(said, encoding="utf-8")
    assert said == GOLDEN.read_text(encoding="utf-8")
