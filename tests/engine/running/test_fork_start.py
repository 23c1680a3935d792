"""The process that starts workers is started before the engine is imported."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from engine.running.backends import fork_start
from engine.running.backends.fork_client import ForkServer
from engine.running.backends.fork_start import start_early
from tests.runs import REPO


def test_a_run_uses_the_process_that_its_command_started() -> None:
    start_early("local", "")
    (early,) = fork_start._early
    server = ForkServer()
    assert fork_start._early == []
    assert server._process is early.process
    assert server.alive
    server.close()


def test_a_process_that_no_run_wants_ends_with_its_command() -> None:
    script = (
        "from engine.running.backends import fork_start; fork_start.start_early('local', ''); "
        "print(fork_start._early[0].process.pid)"
    )
    environment = os.environ | {"PYTHONPATH": str(REPO)}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    with pytest.raises(ProcessLookupError):
        os.kill(int(done.stdout), 0)


@pytest.mark.parametrize(("runner", "address"), [("ray", ""), ("inline", ""), ("auto", "127.0.0.1:6379")])
def test_no_process_is_started_for_a_run_that_hardly_needs_it(runner: str, address: str) -> None:
    start_early(runner, address)
    assert fork_start._early == []


def test_starting_it_imports_neither_numpy_nor_pydantic() -> None:
    script = (
        "import sys, engine.running.backends.fork_start; print(*{'numpy', 'pydantic', 'pyarrow'} & set(sys.modules))"
    )
    environment = os.environ | {"PYTHONPATH": str(REPO)}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
