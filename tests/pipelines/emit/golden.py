"""Golden files of a release."""

from __future__ import annotations

import os
from pathlib import Path

GOLDEN = Path(__file__).parents[2] / "golden"


def golden(name: str, found: bytes) -> bytes:
    """The bytes of the file. With UPDATE_GOLDEN=1 it is written first; read the diff before you commit it."""
    if os.environ.get("UPDATE_GOLDEN"):
        (GOLDEN / name).write_bytes(found)
    return (GOLDEN / name).read_bytes()
