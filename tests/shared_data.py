"""The folder of real data for tests. A test that needs it is skipped, with that reason, if there is none."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(os.environ.get("FLD_SHARED_DATA", Path(__file__).parents[2] / "shared" / "data"))


def shared(name: str) -> Path:
    path = ROOT / name
    if not path.exists():
        pytest.skip(f"{name} is not beside this checkout (set FLD_SHARED_DATA)")
    return path
