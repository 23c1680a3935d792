"""A stage or a command imports its own code, so that a short one starts quickly."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

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
    assert imported_by("pipelines.cli.commands, pipelines.stages.run, pipelines.stages.summary", OTHERS) == "[]"


def test_status_imports_no_code_that_judges_and_no_functions_of_arrow() -> None:
    of_status = "pipelines.cli.commands, pipelines.recipe, pipelines.stages.current, pipelines.explore.status"
    assert imported_by(of_status, ["pipelines.filter.judge", "pyarrow.compute"]) == "[]"


def imported_by(modules: str, others: Sequence[str]) -> str:
    """Which of the others are imported with these modules."""
    code = f"import sys, {modules}; print([name for name in {others} if name in sys.modules])"
    return subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
