"""Memory and time of the driver during a run, for 1,000 and 100,000 shards that all have to be annotated.

    python -m benchmarks.driver [--shards 1000 100000]

Each run is a process of its own: it plans from a simulated data set (benchmarks.planning) and then schedules 9 nodes.
Its two workers do no work. They answer each unit at once, so the CPU seconds are those of the driver alone.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path

from benchmarks.memory import peak
from benchmarks.planning import recipe_of, simulate_folder
from engine.layout import IMAGES
from engine.running.graph import Node
from engine.running.messages import Done, Unit
from engine.running.plan import make_plan
from engine.running.progress import LiveLine
from engine.running.scheduler import Scheduler
from engine.running.slots import Event, Slot
from engine.storage.files import Storage
from pipelines.stages.state import annotators

WORKERS = 2
TARGET = 256  # MiB


class NoWork:
    """A backend whose workers answer each unit at once."""

    def __init__(self) -> None:
        self._slots: set[Slot] = set()
        self._events: deque[Event] = deque()

    def fits(self, node: Node) -> bool:
        return len(self._slots) < WORKERS

    def why_impossible(self, node: Node) -> str:
        return ""

    def start(self, slot: Slot) -> None:
        self._slots.add(slot)
        self._events.append(Event(slot, started=True))

    def submit(self, slot: Slot, unit: Unit) -> None:
        self._events.append(Event(slot, Done(1000, 0, True, seconds=1.0)))

    def events(self, timeout: float) -> Sequence[Event]:
        return [self._events.popleft()] if self._events else []

    def stop(self, slot: Slot) -> None:
        self._slots.discard(slot)

    def close(self) -> None:
        self._slots.clear()


def work(dataset: str) -> None:
    """Plans and runs all nodes in this process. Prints the number of units, CPU seconds, and memory in MiB."""
    recipe = recipe_of(Path(dataset))
    nodes, storage = annotators(recipe), Storage(dataset)
    before, began = peak(), time.process_time()
    plan = make_plan(storage, nodes)
    planned, planning = peak(), time.process_time() - began
    Scheduler(storage, plan, NoWork(), LiveLine("annotate", 1000, live=False), recipe.run).run()
    assert all((plan.revisions[node.name] == 0).all() for node in nodes)
    print(plan.shards * len(nodes), planning, time.process_time() - began - planning, before, planned, peak())


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--shards", type=int, nargs="+", default=[1000, 100_000])
    options.add_argument("--work", help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.work:
        work(given.work)
        return
    for shards in given.shards:
        with tempfile.TemporaryDirectory() as scratch:
            dataset = Path(scratch) / "dataset"
            simulate_folder(dataset / IMAGES, shards)
            command = [sys.executable, "-m", "benchmarks.driver", "--work", str(dataset)]
            output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        units, planning, running, *memory = map(float, output.split())
        before, planned, ended = memory
        print(
            f"{shards:7} shards, {units:.0f} units: planning {planning:.1f} s CPU, running {running:.1f} s; peak memory"
            f" {before:.0f} MiB at the start, {planned:.0f} planned, {ended:.0f} at the end (target < {TARGET} MiB)",
            flush=True,
        )


if __name__ == "__main__":
    main()
