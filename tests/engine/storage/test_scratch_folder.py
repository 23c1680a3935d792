"""Temporary folders: removed at the end, and by the next process if theirs was killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from engine.storage.disks import scratch_folder

_HOLD = """
import sys, time
from engine.storage.disks import scratch_folder
with scratch_folder("engine-test") as folder:
    print(folder, flush=True)
    time.sleep(60)
"""


def test_a_folder_is_kept_while_its_process_lives_and_removed_after_it_was_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    environment = os.environ | {"TMPDIR": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen([sys.executable, "-c", _HOLD], stdout=subprocess.PIPE, text=True, env=environment) as holder:
        assert holder.stdout is not None
        held = Path(holder.stdout.readline().strip())
        with scratch_folder("engine-test") as mine:
            assert {path.name for path in tmp_path.iterdir()} == {held.name, Path(mine).name}
        assert [path.name for path in tmp_path.iterdir()] == [held.name]
        holder.send_signal(signal.SIGKILL)
    with scratch_folder("engine-test") as mine:
        assert [path.name for path in tmp_path.iterdir()] == [Path(mine).name]
    assert list(tmp_path.iterdir()) == []


def test_folders_of_others_are_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for name in ("engine-test-no-lock", "engine-other-1"):
        (tmp_path / name).mkdir()
    (tmp_path / "engine-other-1" / "lock").touch()
    with scratch_folder("engine-test"):
        pass
    assert {path.name for path in tmp_path.iterdir()} == {"engine-test-no-lock", "engine-other-1"}
