"""Installs the peers of the race that the engine does not depend on, with exact versions, into a folder of their own.

Packages that both sides use get the versions that the engine has.
"""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

DAFT = "daft==0.7.26"
SHARED = ("numpy", "opencv-python-headless", "onnxruntime")


def daft_python(folder: Path) -> str:
    """The Python of an environment with Daft. Returns '' if Daft cannot be installed, and prints why."""
    python, wanted = folder / "bin" / "python", [DAFT, *(f"{name}=={version(name)}" for name in SHARED)]
    stamp = folder / "installed.txt"
    if python.exists() and stamp.exists() and stamp.read_text() == "\n".join(wanted):
        return str(python)
    try:
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        install = [str(python), "-m", "pip", "install", "-q", "--no-input", *wanted]
        subprocess.run(install, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        lines = str(getattr(error, "stderr", "") or error).strip().splitlines()
        print(f"{DAFT} cannot be installed and is left out: {lines[-1]}")
        return ""
    stamp.write_text("\n".join(wanted))
    return str(python)
