"""Hostile records in every format, opened with every reader."""

from __future__ import annotations

from pathlib import Path

from pipelines.emit.verifiers.check import render_checks
from pipelines.emit.verify import verify
from tests.pipelines.emit.every_format import CHOSEN
from tests.pipelines.emit.hostile_release import write_hostile


def test_every_reader_opens_hostile_records_in_every_format(tmp_path: Path) -> None:
    checks = verify(str(write_hostile(tmp_path / "v1", CHOSEN)))
    assert checks.ok, render_checks(checks)
