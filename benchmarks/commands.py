"""Runs the command line as a user does, and reports hangs, crashes and tracebacks.

A command that fails prints one sentence, `engine: ...`, as its last line and exits with 1 (failed), 2 (wrong recipe or
flag) or 130 (interrupted).
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

REPO = Path(__file__).parents[1]
HANGS_AFTER_S = 60.0
TRACEBACK = "Traceback (most recent call last)"


@dataclass(frozen=True, slots=True)
class Done:
    """The result of a command. `code`: negative if a signal ended it, None if it was ended because it hung."""

    arguments: tuple[str, ...]
    code: int | None
    out: str
    err: str
    seconds: float

    @property
    def text(self) -> str:
        """All output, with each line unwrapped and white space collapsed."""
        return " ".join(f"{self.out}\n{self.err}".split())

    @property
    def sentence(self) -> str:
        """The command's error message; '' if there is none."""
        problems = [line for line in self.err.splitlines() if line.startswith("engine: ")]
        return problems[-1].removeprefix("engine: ") if problems else ""

    def faults(self) -> list[str]:
        """A sentence for each fault, apart from what the command answered."""
        name = "engine " + " ".join(self.arguments[:4])
        if self.code is None:
            return [f"{name}: hung for {self.seconds:.0f} s"]
        problems = []
        if TRACEBACK in self.out or TRACEBACK in self.err:
            problems.append(f"{name}: a traceback that ends in {self.err.strip().splitlines()[-1][:200]}")
        elif self.code not in (0, 1, 2):
            problems.append(f"{name}: exit code {self.code}: {self.err[-200:]}")
        elif self.code and not self.sentence and self.arguments[0] not in ("status", "verify", "check"):
            problems.append(f"{name}: exit code {self.code} and no sentence")
        if len(self.sentence) > 1500:
            problems.append(f"{name}: a sentence of {len(self.sentence)} characters")
        return problems


def command(
    *arguments: str,
    cwd: Path,
    env: Mapping[str, str] | None = None,
    before: Sequence[str] = (),
    memory: int = 0,
    module: str = "pipelines.cli",
    hangs_after: float = HANGS_AFTER_S,
) -> Done:
    """Runs a command to its end. `before`: a command that starts it; `memory`: limit of its address space in bytes."""

    limit = ("sh", "-c", f'ulimit -v {memory // 1024}; exec "$@"', "sh") if memory else ()
    own = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    started = time.monotonic()
    process = subprocess.Popen(
        [*limit, *before, sys.executable, "-m", module, *arguments],
        cwd=cwd,
        env=own | {"PYTHONPATH": str(REPO), "RAY_AUTH_MODE": "disabled", "COLUMNS": "200"} | dict(env or {}),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    code: int | None
    try:
        out, err = process.communicate(timeout=hangs_after)
        code = process.returncode
    except subprocess.TimeoutExpired:
        end_session(process)
        out, err = process.communicate()
        code = None
    return Done(arguments, code, out, err, time.monotonic() - started)


def rows(done: Done) -> list[dict[str, Any]]:
    """The rows of `engine query --format json`; none if it failed."""
    try:
        found = json.loads(done.out)
    except ValueError:
        return []
    return list(found) if isinstance(found, list) else []


def end_session(process: subprocess.Popen[str]) -> None:
    """Kills the processes of the session led by this one, and no others."""
    from benchmarks.soak import session

    for found, _ in list(session(process.pid)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(found, signal.SIGKILL)
