"""Whether a worker's memory depends on the size of a shard: its peak over one shard of 500 and of 20,000 images.

    python -m benchmarks.memory

Each peak is the high-water mark of a fresh process (VmHWM; `ru_maxrss` would start at that of the parent), with the
settings of the C library that the engine gives its workers.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.photos import drawn
from engine.running.backends.fork_start import KEEP_MEMORY
from engine.running.messages import Done, Unit
from engine.running.worker import Worker, WorkerContext
from pipelines.annotate.annotation_nodes import annotation_nodes
from pipelines.recipe import Recipe, parse_recipe
from pipelines.stages.run import run

NODES = {
    "decodes": {"use": "decodes"},
    "boxes": {"use": "fake_detector", "objects": 10},
    "objects": {"use": "consensus"},
}
TARGET = 1.10


def recipe_of(dataset: Path, photos: Path, shard: int) -> Recipe:
    ingest = {"sources": [{"folder": str(photos)}], "shard_size": shard}
    return parse_recipe({"dataset": str(dataset), "ingest": ingest, "annotate": NODES})


def work(dataset: Path, name: str, images: int) -> None:
    """Runs one unit in this process. Prints the peak in MiB, and the memory before the unit."""
    nodes = {node.name: node for node in annotation_nodes(recipe_of(dataset, dataset, images))}
    node = nodes[name]
    worker = Worker(node, WorkerContext(nodes, str(dataset)), guarded=True)
    worker.load()
    inputs = dict.fromkeys(("images", *node.inputs), 0)
    before = peak()
    *_, last = worker.run(Unit(name, 0, 0, inputs))
    assert isinstance(last, Done)
    assert last.committed
    assert last.items == images
    assert not last.failed
    print(before, peak())


def peak() -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


def measured(dataset: Path, name: str, images: int) -> tuple[float, float]:
    command = [sys.executable, "-m", "benchmarks.memory", "--work", str(dataset), name, str(images)]
    output = subprocess.run(command, env=os.environ | KEEP_MEMORY, check=True, stdout=subprocess.PIPE, text=True).stdout
    before, after = output.split()
    return float(before), float(after)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--sizes", type=int, nargs="+", default=[500, 20000])
    options.add_argument("--work", nargs=3, help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.work:
        work(Path(given.work[0]), given.work[1], int(given.work[2]))
        return
    with tempfile.TemporaryDirectory() as scratch:
        datasets = {}
        for size in given.sizes:
            photos, datasets[size] = Path(scratch) / f"photos-{size}", Path(scratch) / f"dataset-{size}"
            drawn(photos, size, width=320, height=240)
            run(recipe_of(datasets[size], photos, size), stage="ingest", runner="inline")
        print(f"{'peak, MiB':12}{'loaded':>10}" + "".join(f"{size:>10}" for size in given.sizes) + f"{'ratio':>10}")
        for name in NODES:
            found = [measured(datasets[size], name, size) for size in given.sizes]
            ratio = found[-1][1] / found[0][1]
            cells = "".join(f"{after:10.0f}" for _, after in found)
            print(f"{name:12}{found[0][0]:10.0f}{cells}{ratio:10.2f}   (target <= {TARGET})", flush=True)


if __name__ == "__main__":
    main()
