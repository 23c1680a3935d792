"""Runs a command as a process and measures it with all its descendants: elapsed time, CPU time, peak memory.

CPU time includes descendants that outlive their parent, such as Ray's: this process adopts and awaits them (Linux).
Memory is the sum of their PSS, in which a page shared by several processes counts once. It is sampled, so that a short
peak may be missed.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

SAMPLE_S = 0.25
_ADOPT = 36  # PR_SET_CHILD_SUBREAPER of prctl


@dataclass(frozen=True, slots=True)
class Cost:
    """What a command took: seconds elapsed, CPU seconds of user and system, and the peak of memory in MiB."""

    elapsed: float
    cpu: float
    memory: float


class RaceError(RuntimeError):
    """A command failed. Its message ends with the last lines that the command printed."""


def measured(command: Sequence[str], cwd: Path, env: Mapping[str, str] | None = None) -> Cost:
    """Runs the command to its end. Raises RaceError if it fails."""
    if ctypes.CDLL(None).prctl(_ADOPT, 1, 0, 0, 0):
        raise RaceError("this system cannot measure processes that outlive their parent")
    before, started = _children_cpu(), time.monotonic()
    with tempfile.TemporaryFile() as output:  # not a pipe: a descendant that lives on would keep it open
        process = subprocess.Popen(command, cwd=cwd, env=os.environ | dict(env or {}), stdout=output, stderr=output)
        sampler = Sampler()
        sampler.start()
        code = process.wait()
        elapsed = time.monotonic() - started
        sampler.stop()
        _await_adopted()
        output.seek(0)
        printed = output.read().decode(errors="replace")
    if code:
        raise RaceError(f"{' '.join(command)} ended with {code}: {printed[-1500:]}")
    return Cost(elapsed, _children_cpu() - before, sampler.peak / 1024)


class Sampler(threading.Thread):
    """Samples the memory of this process's descendants. `peak`: the largest sum of their PSS, in KiB."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peak = 0
        self._ended = threading.Event()

    def run(self) -> None:
        while not self._ended.wait(SAMPLE_S):
            self.peak = max(self.peak, sum(map(_pss, descendants(os.getpid()))))

    def stop(self) -> None:
        self._ended.set()
        self.join()


def children(process: int) -> Iterator[int]:
    """The ids of the processes that a process started."""
    for thread in _listed(f"/proc/{process}/task"):
        yield from map(int, _read(f"/proc/{process}/task/{thread}/children").split())


def descendants(process: int) -> Iterator[int]:
    """The ids of all descendants of a process."""
    for child in children(process):
        yield child
        yield from descendants(child)


def _pss(process: int) -> int:
    for line in _read(f"/proc/{process}/smaps_rollup").splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1])
    return 0


def _read(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:  # the process has ended
        return ""


def _listed(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _await_adopted() -> None:
    """Ends the descendants that outlived the command, and waits for them, so that their CPU time is counted."""
    while left := list(descendants(os.getpid())):
        for one in left:
            try:
                os.kill(one, signal.SIGKILL)
                os.waitpid(one, 0)
            except (ProcessLookupError, ChildProcessError):
                continue  # the child of another descendant: its turn comes when that has ended


def _children_cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    print(measured(sys.argv[1:], Path.cwd()))
