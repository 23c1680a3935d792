"""`engine --help`: its exact text, and its speed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from typer.testing import CliRunner

from pipelines.cli.commands import app
from tests.runs import REPO, children_seconds

GOLDEN = Path(__file__).parents[2] / "golden" / "help.txt"


def test_the_help_matches_the_golden_file() -> None:
    """UPDATE_GOLDEN=1 writes the file again: read the diff before committing it."""
    printed = CliRunner().invoke(app, ["--help"], prog_name="engine", terminal_width=100).output
    if os.environ.get("UPDATE_GOLDEN"):
        GOLDEN.write_text(printed, encoding="utf-8")
    assert printed == GOLDEN.read_text(encoding="utf-8")


def test_help_lists_the_commands() -> None:
    printed = CliRunner().invoke(app, ["--help"]).output
    for command in ("run", "status", "query", "why", "show", "components", "verify"):
        assert re.search(rf"^  {command} ", printed, re.MULTILINE)


def test_help_imports_nothing_heavy_and_takes_under_half_a_second() -> None:
    code = "import sys\nfrom pipelines.cli.commands import app\ntry: app(['--help'])\nexcept SystemExit: pass\n"
    code += (
        "heavy = {'ray', 'pyarrow', 'numpy', 'cv2', 'duckdb', 'spacy', 'onnxruntime', 'pydantic', 'PIL', 'fsspec'}\n"
    )
    code += "print(sorted(heavy & set(sys.modules)))"
    env = os.environ | {"PYTHONPATH": str(REPO)}
    seconds = []
    for _ in range(3):
        started = children_seconds()
        made = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, check=True)
        seconds.append(children_seconds() - started)
    assert made.stdout.splitlines()[-1] == "[]"
    assert min(seconds) < 0.5
