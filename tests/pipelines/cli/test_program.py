import subprocess
import sys

import pytest

from engine.running.backends import fork_start
from pipelines.cli import __main__ as program
from pipelines.emit.verifiers import datasets_program
from tests.runs import REPO


@pytest.mark.parametrize(
    ("arguments", "started"),
    [
        ("verify data/releases/v1", ()),
        ("verify --help", None),
        ("run", ("auto", "")),
        ("run -c recipe.yaml --runner local --stage filter", ("local", "")),
        ("run --runner=inline", ("inline", "")),
        ("run --address 10.0.0.1:6379", ("auto", "10.0.0.1:6379")),
        ("run --runner", ("auto", "")),
        ("run --dry-run", None),
        ("run --help", None),
        ("status", None),
        ("", None),
    ],
)
def test_only_a_run_and_verify_start_a_process_first(
    arguments: str, started: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[object] = []
    monkeypatch.setattr(fork_start, "start_early", lambda *given: calls.append(given))
    monkeypatch.setattr(datasets_program, "start_early", lambda *given: calls.append(given))
    program._start_early(arguments.split())
    assert calls == ([] if started is None else [started])


def test_that_process_is_started_before_the_engine_is_imported() -> None:
    code = (
        "import sys; from engine.running.backends import fork_start; from pipelines.cli.__main__ import main\n"
        "def start_early(*given): sys.exit(str({'numpy', 'pyarrow', 'typer'} & set(sys.modules)))\n"
        "sys.argv = ['engine', 'run']; fork_start.start_early = start_early\n"
        "main()"
    )
    assert _run("-c", code).stderr.strip() == "set()"


@pytest.mark.parametrize(("arguments", "code"), [("--version", 0), ("run -c none.yaml", 2), ("nonsense", 2)])
def test_the_exit_code_is_that_of_the_command(arguments: str, code: int) -> None:
    done = _run("-m", "pipelines.cli", *arguments.split())
    assert done.returncode == code
    assert len((done.stdout + done.stderr).strip()) > 0


def test_a_closed_output_is_no_error() -> None:
    closed = f'exec "{sys.executable}" -m pipelines.cli --version >&-'
    done = subprocess.run(["sh", "-c", closed], cwd=REPO, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_what_was_registered_for_the_end_runs_before_the_process_ends_at_once() -> None:
    code = (
        "import atexit, sys, threading, time; from pipelines.cli import commands, __main__ as program\n"
        "class Never:\n    def __del__(self): print('freed one by one')\n"
        "never = Never()\n"
        "def app():\n"
        "    atexit.register(print, 'registered')\n"
        "    threading.Thread(target=lambda: (time.sleep(0.2), print('thread'))).start()\n"
        "    raise SystemExit(3)\n"
        "commands.app = app; program.main()"
    )
    done = _run("-c", code)
    assert (done.returncode, done.stdout.split("\n")[:-1], done.stderr) == (3, ["thread", "registered"], "")


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], cwd=REPO, capture_output=True, text=True, check=False)
