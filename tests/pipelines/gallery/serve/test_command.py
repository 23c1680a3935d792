"""`engine explore` as a user runs it."""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlencode

import pytest
from typer.testing import CliRunner

from pipelines.cli.commands import app
from tests.pipelines.gallery.serve.conftest import Served
from tests.runs import REPO

# The shell that runs the tests may ignore Ctrl-C, and processes inherit that.
ENGINE = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from pipelines.cli.commands import app
app()
"""


def test_it_prints_an_address_that_works_and_ctrl_c_ends_it_cleanly_during_a_query(gallery: Served) -> None:
    running = subprocess.Popen(
        [sys.executable, "-c", ENGINE, "explore", "-d", str(gallery.root / "data")],
        cwd=REPO,
        env=os.environ | {"PYTHONPATH": str(REPO)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert running.stdout is not None
    address = running.stdout.readline().strip()
    assert address.startswith("http://127.0.0.1:")
    with urllib.request.urlopen(address, timeout=60) as answer:
        assert b"<title>Explore</title>" in answer.read()
    asking = threading.Thread(target=ask_too_much, args=(address,))
    asking.start()
    asking.join(0.5)
    running.send_signal(signal.SIGINT)
    _, errors = running.communicate(timeout=60)
    asking.join()
    assert (running.returncode, errors) == (0, "")


def ask_too_much(address: str) -> None:
    """Asks a question whose answer takes years. The server ends before it."""
    endless = "0 = (SELECT count(*) FROM range(1000000) a, range(1000000) b WHERE (a.range + b.range) % 7 = 8)"
    with pytest.raises((OSError, http.client.HTTPException)):
        urllib.request.urlopen(f"{address}images?{urlencode({'where': endless})}", timeout=60)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["-d", "{root}/nothing"], "is no data set, it has no dataset.json: give the folder"),
        (["-d", "{root}/data", "--port", "{port}"], "Port {port} is in use by another program: give another --port"),
        (["-d", "{root}/data", "--port", "70000"], "The port is 70000: give 1 to 65535, or none to get a free one."),
        (["-d", "{root}/data", "--of", "releases/v"], "Unknown verdicts or release 'releases/v': known: judge/"),
        (["-c", "{root}/recipe.yaml"], "recipe.yaml"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_sentence(gallery: Served, tmp_path: Path, options: Sequence[str], sentence: str) -> None:
    given = [option.format(root=gallery.root, port=gallery.port) for option in options]
    result = CliRunner().invoke(app, ["explore", *given])
    assert (result.exit_code, result.stdout) == (2, "")
    assert sentence.format(port=gallery.port) in result.stderr
    assert len(result.stderr.splitlines()) == 1
