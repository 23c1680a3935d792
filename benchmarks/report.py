"""Cost of the report's analysis over a million regions and 200,000 texts, beside a script with pandas.

    python -m benchmarks.report [--images 100000] [--keep FOLDER]

The data set is the simulated one of `named_tables`. The engine's side runs every query of the report, as
`engine report` does, without the gallery and the page; and, once more, only those whose tables the script makes too.
The script (`report_pandas.py`) reads the same files with pyarrow and counts with pandas. Each side runs in its own
process. The tables of both sides must agree.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.named_tables import simulate
from engine.reading.dataset import Dataset
from pipelines.analyse.figure import Row
from pipelines.analyse.report import figure_queries
from pipelines.analyse.sections import SECTIONS
from pipelines.analyse.tables import analysis, rows_of, run_queries

SIDES = ("engine", "same tables", "pandas")
# The engine's tables also have rows of FLD-5B, and of granularities that the data set has not.
_KEYS = {"semantic_coverage": ("granularity", "measure")}
Tables = Mapping[str, Sequence[Row]]


@dataclass(frozen=True, slots=True)
class Cost:
    elapsed: float
    cpu: float
    peak: float  # GiB

    def __str__(self) -> str:
        return f"{self.elapsed:6.1f} s elapsed  {self.cpu:6.1f} s CPU  peak {self.peak:.2f} GiB"


def tables_of(folder: str, side: str) -> tuple[Tables, dict[str, float]]:
    """(rows of each table, seconds of each query) of one side."""
    if side == "pandas":
        from benchmarks.report_pandas import tables

        return tables(folder), {}
    from benchmarks.report_pandas import TABLES

    wanted = figure_queries(SECTIONS) if side == "engine" else TABLES
    started: list[tuple[str, float]] = []
    with analysis(Dataset.open(folder)) as con:
        found = run_queries(con, wanted, lambda name: started.append((name, time.perf_counter())))
    ends = [at for _, at in started[1:]] + [time.perf_counter()]
    return {name: rows_of(table) for name, table in found.items()}, {
        name: end - at for (name, at), end in zip(started, ends, strict=True)
    }


def run_side(folder: Path, side: str) -> tuple[Cost, Tables, dict[str, float]]:
    """Runs one side in a process of its own."""
    with tempfile.TemporaryDirectory() as scratch:
        result = Path(scratch) / "tables"
        command = [sys.executable, "-m", "benchmarks.report", "--side", side, str(folder), str(result)]
        started = time.perf_counter()
        process = subprocess.Popen(command)
        _, status, usage = os.wait4(process.pid, 0)
        elapsed = time.perf_counter() - started
        if status:
            raise SystemExit(f"The side '{side}' failed.")
        tables, seconds = json.loads(result.read_bytes())
    return Cost(elapsed, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 2**20), tables, seconds


def differences(ours: Tables, theirs: Tables) -> list[str]:
    """The tables of the script that are not those of the engine. Columns that it does not make are left out."""
    wrong = []
    for name, rows in theirs.items():
        keys = {tuple(row[column] for column in _KEYS.get(name, ())) for row in rows}
        same = [row for row in ours[name] if tuple(row[column] for column in _KEYS.get(name, ())) in keys]
        shown = [{column: row[column] for column in rows[0]} for row in same]
        if [_comparable(row) for row in shown] != [_comparable(row) for row in rows]:
            wrong.append(name)
    return wrong


def _comparable(row: Row) -> dict[str, object]:
    return {name: round(value, 3) if isinstance(value, float) else value for name, value in row.items()}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--images", type=int, default=100_000)
    options.add_argument("--keep", help="make the data set here, or use the one that is")
    options.add_argument("--side", nargs=3, metavar=("SIDE", "FOLDER", "RESULT"), help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.side:
        side, folder, result = given.side
        Path(result).write_text(json.dumps(tables_of(folder, side), default=str))
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(given.keep or scratch)
        if not (folder / "current.json").exists():
            simulate(folder, given.images)
        made: dict[str, Tables] = {}
        for side in SIDES:
            cost, made[side], seconds = run_side(folder, side)
            print(f"{side:12} {len(made[side]):3} tables  {cost}", flush=True)
            if side == "engine":
                slowest = sorted(seconds.items(), key=lambda item: -item[1])[:12]
                print(json.dumps({name: round(value, 2) for name, value in slowest}), flush=True)
        wrong = differences(made["engine"], made["pandas"])
        print(f"tables that differ: {', '.join(wrong) or 'none'}")


if __name__ == "__main__":
    main()
