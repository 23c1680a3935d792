"""Starts the process of the fork server.

This file imports little, so that a command can start the process before it imports the engine: both then import it at
the same time. A process that no run wants is killed when this one ends.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import IO, NamedTuple

# Settings of the C library in workers: keep freed memory for the next image. Returning the memory of a batch to the
# system and requesting it again costs a fifth of the decoding time. A worker's peak memory stays the same.
KEEP_MEMORY = {
    "MALLOC_TRIM_THRESHOLD_": str(2**30),
    "MALLOC_MMAP_THRESHOLD_": str(32 * 2**20),
    "MALLOC_TOP_PAD_": str(64 * 2**20),
}
# The server has one thread, because it forks: none of OpenBLAS, and none of the jemalloc inside Arrow.
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "JE_ARROW_MALLOC_CONF": "background_thread:false"}
_ENGINE = str(Path(__file__).resolve().parents[3])  # the folder that holds the package `engine`
# While it imports, it does not look for garbage. It ends without Python's clearing up, for which its driver would wait.
_SERVE = (
    "import gc, json, os, sys; gc.disable(); sys.path[:] = json.load(sys.stdin); "
    "from engine.running.backends.fork_server import serve; serve(int(sys.argv[1])); os._exit(0)"
)
_GPUS = Path("/proc/driver/nvidia/gpus")


class ServerProcess(NamedTuple):
    """`control`: this process's end of the socket for requests and answers. `output`: the file for what it prints."""

    control: socket.socket
    process: subprocess.Popen[bytes]
    output: IO[bytes]


def start_server() -> ServerProcess:
    """The process that was started early, if there is one; otherwise a new one."""
    return _early.pop() if _early else _new_server()


def started_early() -> bool:
    """Whether `start_server` will return a process that was started early."""
    return bool(_early)


def start_early(runner: str, address: str) -> None:
    """Start the process for a later `start_server`, unless the run will hardly need it: with Ray, or inline."""
    ray = address or os.environ.get("RAY_ADDRESS") or _GPUS.exists()
    if not _early and (runner == "local" or (runner == "auto" and not ray)):
        _early.append(_new_server())


def _new_server() -> ServerProcess:
    control, theirs = socket.socketpair()
    output = tempfile.TemporaryFile()  # noqa: SIM115  open as long as the server runs
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-c", _SERVE, str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            env={**KEEP_MEMORY, **os.environ, **_ONE_THREAD},
            start_new_session=True,  # so that Ctrl-C in a terminal reaches only the driver
        )
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError), process.stdin as paths:
        paths.write(json.dumps([_ENGINE, *sys.path]).encode())
    return ServerProcess(control, process, output)


_early: list[ServerProcess] = []


@atexit.register
def _end_early() -> None:
    for control, process, output in _early:
        process.kill()
        process.wait()
        control.close()
        output.close()
    _early.clear()
