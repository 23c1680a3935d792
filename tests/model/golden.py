"""Golden files of what users get. UPDATE_GOLDEN=1 rewrites them; review the changes before you commit them."""

from __future__ import annotations

import os
from pathlib import Path

GOLDEN = Path(__file__).parents[1] / "golden"


def golden(name: str, found: str) -> str:
    if os.environ.get("UPDATE_GOLDEN"):
        (GOLDEN / name).write_text(found, encoding="utf-8")
    return (GOLDEN / name).read_text(encoding="utf-8")
