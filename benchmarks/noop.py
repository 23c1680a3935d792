"""Overhead of the engine for a specialist without cost: `decodes` in a Worker, compared with a plain read and decode.

    python -m benchmarks.noop [--images 3000]

Two comparisons, shard by shard and in turns. On one core with everything pinned to it: CPU seconds, which depend little
on other load. On two cores: elapsed time, with plain loops in two threads, like the Worker. `ours` decodes with
engine.images.decode.decode, which the Worker calls; `pillow` and `cv2` are what a script would use. The Worker also
checks that each file is the one that was ingested (sha256), and commits a Parquet file.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.photos import drawn, real, repeated
from engine.images.decode import Limits, decode
from engine.running.backends.fork_start import KEEP_MEMORY
from engine.running.graph import Node
from engine.running.messages import Done, Unit
from engine.running.worker import Worker, WorkerContext
from pipelines.annotate.annotation_nodes import annotation_nodes
from pipelines.recipe import Recipe, parse_recipe
from pipelines.stages.run import run

SIDES = ("worker", "ours", "pillow", "cv2", "hashed")
Work = Callable[[int], object]


def recipe_of(dataset: Path, photos: Path, shard: int) -> Recipe:
    ingest = {"sources": [{"folder": str(photos)}], "shard_size": shard}
    return parse_recipe({"dataset": str(dataset), "ingest": ingest, "annotate": {"decodes": {"use": "decodes"}}})


def through_worker(node: Node, dataset: Path) -> Work:
    worker = Worker(node, WorkerContext({node.name: node}, str(dataset)), guarded=True)
    worker.load()

    def work(shard: int) -> None:
        *_, last = worker.run(Unit(node.name, shard, 0, {"images": 0}))
        assert isinstance(last, Done)
        assert last.committed
        assert not last.failed

    return work


def read_and_ours(path: str) -> object:
    with open(path, "rb") as file:
        return decode(file.read(), Limits())


def read_and_hash(path: str) -> object:
    """The least work with which a file that changed since ingest is noticed."""
    import hashlib

    with open(path, "rb") as file:
        data = file.read()
    hashlib.sha256(data).hexdigest()
    return decode(data, Limits())


def read_and_pillow(path: str) -> object:
    from PIL import Image

    return np.asarray(Image.open(path).convert("RGB"))


def read_and_cv2(path: str) -> object:
    import cv2

    stored = cv2.imread(path, cv2.IMREAD_COLOR)
    assert stored is not None
    return cv2.cvtColor(stored, cv2.COLOR_BGR2RGB)


def plainly(one: Callable[[str], object], shards: Sequence[Sequence[str]], threads: int) -> Work:
    """Decodes the files of a shard with as many threads as the Worker has, dropping each image at once."""
    pool = ThreadPoolExecutor(threads) if threads else None

    def drop(path: str) -> None:
        one(path)

    def work(shard: int) -> None:
        for _ in pool.map(drop, shards[shard]) if pool else map(drop, shards[shard]):
            pass

    return work


def measure(sides: Sequence[Work], shards: int, clock: Callable[[], float]) -> npt.NDArray[np.float64]:
    """Seconds as an array of shards x sides. The sides take turns in going first."""
    found = np.zeros((shards, len(sides)))
    for shard in range(shards):
        for turn in range(len(sides)):
            side = (shard + turn) % len(sides)
            started = clock()
            sides[side](shard)
            found[shard, side] = clock() - started
    return found


def report(title: str, seconds: npt.NDArray[np.float64], images: int) -> None:
    rates = images / seconds.sum(axis=0)
    print(title)
    for number, name in enumerate(SIDES):
        ratio = float(np.median(seconds[:, 0] / seconds[:, number]))
        print(f"  {name:8}{rates[number]:8.0f} images/s   worker takes {ratio:.3f} of its time")


def prepare(scratch: Path, photos: Path | None, images: int, shard: int) -> list[list[str]]:
    folder = scratch / "photos"
    if photos is None:
        drawn(folder, images)
    else:
        repeated(real(photos), folder, images)
    run(recipe_of(scratch / "one", folder, shard), stage="ingest", runner="inline")
    run(recipe_of(scratch / "two", folder, shard), stage="ingest", runner="inline")
    paths = sorted(str(path) for path in folder.iterdir())
    return [paths[start : start + shard] for start in range(0, len(paths), shard)]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--images", type=int, default=3000)
    options.add_argument("--shard", type=int, default=250)
    options.add_argument("--photos", type=Path, help="a folder of JPEGs (default: drawn ones)")
    given = options.parse_args()
    if not os.environ.keys() >= KEEP_MEMORY.keys():  # both sides with the settings the engine gives its workers
        os.execve(sys.executable, [sys.executable, "-m", "benchmarks.noop", *sys.argv[1:]], os.environ | KEEP_MEMORY)
    readers: list[Callable[[str], Any]] = [read_and_ours, read_and_pillow, read_and_cv2, read_and_hash]
    with tempfile.TemporaryDirectory() as scratch_name:
        scratch = Path(scratch_name)
        shards = prepare(scratch, given.photos, given.images, given.shard)
        node = annotation_nodes(recipe_of(scratch / "one", scratch / "photos", given.shard))[0]
        import cv2

        cv2.setNumThreads(1)
        for path in shards[0][:50]:  # warm up
            for one in readers:
                one(path)
        cores = os.sched_getaffinity(0)
        sides = [through_worker(node, scratch / "two"), *(plainly(one, shards, 2) for one in readers)]
        report("two threads, clock", measure(sides, len(shards), time.perf_counter), given.images)
        os.sched_setaffinity(0, {max(cores)})  # before the next Worker has threads
        sides = [through_worker(node, scratch / "one"), *(plainly(one, shards, 0) for one in readers)]
        report("one core, CPU seconds", measure(sides, len(shards), time.process_time), given.images)


if __name__ == "__main__":
    main()
