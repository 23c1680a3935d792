"""Time of each command of `make demo`, after installation, in elapsed and in CPU seconds with all workers.

    python -m benchmarks.demo [--rounds 1]

Use the environment of `make demo`: in one with torch, spaCy and `engine verify` import it, which takes seconds.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RECIPE = Path(__file__).parents[1] / "pipelines" / "recipes" / "quickstart.yaml"
SET = "data/quickstart"
COMMANDS = (
    ("run", "-c", str(RECIPE)),
    ("status", "-c", str(RECIPE)),
    ("why", "chelsea", "-c", str(RECIPE)),
    ("show", "-c", str(RECIPE), "-o", "data/quickstart.png"),
    ("verify", f"{SET}/releases/v1"),
    ("report", "-c", str(RECIPE)),
)
TARGET = 15.0  # seconds elapsed, all together


def timed(command: tuple[str, ...], folder: Path) -> tuple[float, float]:
    """(elapsed, CPU) seconds of a command, its workers included."""
    start = time.perf_counter()
    whole = [sys.executable, "-c", "from pipelines.cli.__main__ import main; main()", *command]
    environment = os.environ | {"PYTHONPATH": str(RECIPE.parents[2])}
    process = subprocess.Popen(whole, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    errors = process.stderr.read() if process.stderr else b""
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"engine {command[0]} failed:\n{errors.decode(errors='replace')}")
    return time.perf_counter() - start, usage.ru_utime + usage.ru_stime


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rounds", type=int, default=1, help="each in a new folder")
    given = options.parse_args()
    if importlib.util.find_spec("torch"):
        print("torch is installed here: this is not the environment of `make demo`, and takes longer")
    for _ in range(given.rounds):
        with tempfile.TemporaryDirectory() as scratch:
            times = [timed(command, Path(scratch)) for command in COMMANDS]
        for command, (elapsed, cpu) in zip(COMMANDS, times, strict=True):
            print(f"{command[0]:8} {elapsed:6.1f} s elapsed {cpu:6.1f} s CPU")
        elapsed, cpu = (sum(column) for column in zip(*times, strict=True))
        print(
            f"{'together':8} {elapsed:6.1f} s elapsed {cpu:6.1f} s CPU (target {TARGET:g} s elapsed on two free cores)"
        )


if __name__ == "__main__":
    main()
