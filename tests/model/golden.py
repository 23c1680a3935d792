"""Golden files of what leaves the house: UPDATE_GOLDEN=1 writes them anew, to be read before they are committed."""

from __future__ import annotations

import os
from pathlib import Path

GOLDEN = Path(__file__).parents[1] / "golden"


def golden(name: str, found: str) -> str:
    if os.environ.get("UPDATE_GOLDEN"):
        (GOLDEN / name).write_text(found, encoding="utf-8")
    return (GOLDEN / name).read_text(encoding="utf-8")
