"""The process in which benchmarks/fuzz.py runs commands. As JSON lines, it reads {folder, arguments} and writes
{code, out, err}.

A command that crashes or hangs ends only this process; the parent notices and starts a new one.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import resource
import subprocess
import sys
import traceback
from pathlib import Path
from select import select
from typing import Any

from benchmarks.commands import HANGS_AFTER_S, REPO, Done

RENEWED_AFTER = 50  # commands, then a new process is started


class Worker:
    """Runs commands in a separate process with at most `memory` bytes of address space."""

    def __init__(self, memory: int) -> None:
        self.memory, self.peak_kib, self._commands = memory, 0, 0
        self._process: subprocess.Popen[str] | None = None

    def run(self, folder: Path, *arguments: str) -> Done:
        import time

        self._commands += 1
        if self._commands % RENEWED_AFTER == 0:
            self.close()  # each command of a user has its own process, so what many leave behind is no fault
        process = self._process = self._process or self._start()
        assert process.stdin is not None
        assert process.stdout is not None
        started = time.monotonic()
        process.stdin.write(json.dumps({"folder": str(folder), "arguments": arguments}) + "\n")
        process.stdin.flush()
        ready, _, _ = select([process.stdout], [], [], HANGS_AFTER_S)
        line = process.stdout.readline() if ready else ""
        seconds = time.monotonic() - started
        if not line:
            self.close(kill=not ready)
            return Done(arguments, process.returncode if ready else None, "", "", seconds)
        found = json.loads(line)
        self.peak_kib = max(self.peak_kib, found["peak_kib"])
        return Done(arguments, found["code"], found["out"], found["err"], seconds)

    def _start(self) -> subprocess.Popen[str]:
        limit = f'ulimit -v {self.memory // 1024}; exec "$@"'
        return subprocess.Popen(
            ["sh", "-c", limit, "sh", sys.executable, "-m", "benchmarks.fuzz_worker"],
            cwd=REPO,
            env=os.environ | {"PYTHONPATH": str(REPO)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def close(self, *, kill: bool = False) -> None:
        if self._process is not None:
            if kill:
                self._process.kill()
            self._process.communicate()
            self._process = None


def _answer(request: dict[str, Any]) -> dict[str, Any]:
    from pipelines.cli.commands import app

    out, err = io.StringIO(), io.StringIO()
    os.chdir(request["folder"])
    code = 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            app(list(request["arguments"]))
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else int(bool(ended.code))
        except BaseException:  # noqa: BLE001 what a user would see as a traceback is what is looked for
            traceback.print_exc(file=err)
            code = 1
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"code": code, "out": out.getvalue(), "err": err.getvalue(), "peak_kib": peak}


def main() -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # keeps the direct output of libraries away from the answers
    for line in sys.stdin:
        answers.write(json.dumps(_answer(json.loads(line))) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
