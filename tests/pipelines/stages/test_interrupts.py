"""Ctrl-C, once or several times: one sentence, exit code 130, no traceback, no process left; then the run continues."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from pipelines.stages import run as stages
from tests.runs import draw_photos, engine_in_background, recipe, recipe_data, release_files, write_recipe


@pytest.mark.parametrize("presses", [1, 3])
def test_ctrl_c_once_or_more_often_ends_the_run_and_the_same_command_continues(tmp_path: Path, presses: int) -> None:
    draw_photos(tmp_path / "photos", 12)
    diary = tmp_path / "journal"
    slow = {"slow_s": 0.2, "journal": str(diary)}
    ingest = {"sources": [{"folder": str(tmp_path / "photos")}], "shard_size": 4}
    data = recipe_data(tmp_path / "set", tmp_path / "photos", slow, ingest=ingest)
    path = str(write_recipe(tmp_path / "recipe.yaml", data))
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have set it to be ignored
    run = engine_in_background("run", "-c", path, "--runner", "inline")
    signal.signal(signal.SIGINT, before)
    while not diary.exists():
        assert run.poll() is None, run.communicate()[0]
        time.sleep(0.05)
    for _ in range(presses):
        os.killpg(run.pid, signal.SIGINT)
        time.sleep(0.05)
    output = run.communicate(timeout=30)[0]
    assert run.returncode == 130
    assert "Traceback" not in output
    assert presses > 1 or output.endswith(
        "Interrupted. Finished work is kept; run the same command again to continue.\n"
    )
    assert _of_session(run.pid) == []
    errors = [json.loads(path.read_text())["error"] for path in (tmp_path / "set" / "runs").glob("*/run.json")]
    assert presses > 1 or errors == ["Interrupted"]
    stages.run(recipe(tmp_path / "set", tmp_path / "photos", slow, ingest=ingest), runner="inline")
    stages.run(recipe(tmp_path / "undisturbed", tmp_path / "photos", {}, ingest=ingest), runner="inline")
    assert release_files(tmp_path / "set") == release_files(tmp_path / "undisturbed")


def _of_session(session: int) -> list[str]:
    listed = subprocess.run(["ps", "-eo", "sess,stat,args"], capture_output=True, text=True, check=True).stdout
    rows = (line.split(None, 2) for line in listed.splitlines()[1:])
    return [row[2] for row in rows if row[0] == str(session) and not row[1].startswith("Z")]
