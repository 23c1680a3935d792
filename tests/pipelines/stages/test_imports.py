"""A stage imports its own code, so that a short stage starts quickly."""

from __future__ import annotations

import subprocess
import sys

OTHERS = [
    "duckdb",
    "model.network.florence",
    "pandas",
    "pipelines.analyse.report",
    "pipelines.emit.emit",
    "pipelines.ingest.list_inputs",
    "pipelines.refine.rounds",
    "pipelines.removal.complete",
    "pipelines.stages.dry_run",
    "ray",
    "torch",
]


def test_a_run_imports_no_code_of_stages_that_it_may_not_reach() -> None:
    imported = "pipelines.cli.commands, pipelines.stages.run, pipelines.stages.summary"
    code = f"import sys, {imported}; print([name for name in {OTHERS} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.PIPE, text=True).stdout
    assert found.strip() == "[]"
