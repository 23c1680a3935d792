"""Fixtures of tests of releases."""

from __future__ import annotations

import pytest

from pipelines.emit.verifiers.datasets_program import KINDS, WAYS


@pytest.fixture
def without_datasets(monkeypatch: pytest.MonkeyPatch) -> None:
    """`verify` does not start `datasets`, which takes seconds: its checks fail, and tests leave them out."""
    answers = {name: {"error": "not asked"} for name in (f"{kind} {way}" for kind in KINDS for way in WAYS)}
    monkeypatch.setattr("pipelines.emit.verifiers.datasets.ask", lambda *_: answers)
