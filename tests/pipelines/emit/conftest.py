"""Fixtures of tests of releases."""

from __future__ import annotations

import pytest


@pytest.fixture
def without_datasets(monkeypatch: pytest.MonkeyPatch) -> None:
    """`verify` does not start `datasets`, which takes seconds: its checks fail, and tests leave them out."""
    monkeypatch.setattr("pipelines.emit.verifiers.datasets.ask", lambda *_: {"error": "not asked"})
