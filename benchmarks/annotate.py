"""Speed of a real detector: the engine compared with the script a user would write, a bare pool of two processes.

    python -m benchmarks.annotate [--weights yolox_nano_coco80_416.onnx --photos FOLDER]

Both sides run the same model on the same photos in fresh processes, in turns. The script is one that takes ten minutes
to write: multiprocessing, cv2.imread, the same model code, one Parquet file for each chunk. The time without start-up
is from the start of the first chunk to the end of the last; the time with start-up is that of the whole process,
including Ray and loading the model. `ingest` runs before and is reported separately: the script has no such step.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.photos import real, repeated
from engine.running.messages import Done, Unit
from engine.running.progress import LiveLine
from engine.schema import Sample
from pipelines.recipe import Recipe, parse_recipe

Options = dict[str, Any]
_detector: Any = None  # of a process of the pool


# --- the script a user would write ---------------------------------------------------------------


def load_detector(options: Options) -> None:
    global _detector  # noqa: PLW0603 - as such scripts do
    from engine.config.catalog import resolve
    from specialists import CATALOG

    plain = {name: value for name, value in options.items() if name != "use"}
    _detector = resolve("component", options["use"], CATALOG)[1](**plain)
    _detector.load()


def detect_chunk(job: tuple[Sequence[str], str]) -> tuple[float, float]:
    """The times when it began and ended."""
    import cv2
    import pyarrow as pa
    import pyarrow.parquet as pq

    began = time.time()
    paths, out = job
    rows = []
    for path in paths:
        stored = cv2.imread(path)
        assert stored is not None
        pixels = np.asarray(cv2.cvtColor(stored, cv2.COLOR_BGR2RGB), np.uint8)
        sample = Sample(os.path.basename(path), pixels.shape[1], pixels.shape[0], pixels)
        regions = _detector.annotate([sample])[0].regions
        boxes = [{"box": [r.x1, r.y1, r.x2, r.y2], "label": r.label, "score": r.score} for r in regions]
        rows.append({"file": sample.image_id, "boxes": boxes})
    pq.write_table(pa.Table.from_pylist(rows), out, compression="zstd")
    return began, time.time()


def script_side(folder: Path, out: Path, options: Options, chunk: int, workers: int) -> list[tuple[float, float]]:
    paths = sorted(str(path) for path in folder.iterdir())
    jobs = [(paths[start : start + chunk], str(out / f"{start:06d}.parquet")) for start in range(0, len(paths), chunk)]
    with multiprocessing.get_context("spawn").Pool(workers, load_detector, (options,)) as pool:
        return list(pool.imap_unordered(detect_chunk, jobs))


# --- the engine ----------------------------------------------------------------------------------


class Clock(LiveLine):
    """Records when each unit began and was committed."""

    def __init__(self, stage: str) -> None:
        super().__init__(stage, 1, live=False)
        self.spans: list[tuple[float, float]] = []

    def finished(self, node: str, unit: Unit, done: Done) -> None:
        super().finished(node, unit, done)
        now = time.time()
        self.spans.append((now - done.seconds, now))


def recipe_of(dataset: Path, photos: Path, options: Options, chunk: int, workers: int) -> Recipe:
    return parse_recipe(
        {
            "dataset": str(dataset),
            "ingest": {"sources": [{"folder": str(photos)}], "shard_size": chunk},
            "annotate": {"boxes": options},
            "run": {"max_workers": workers},
        }
    )


def engine_side(recipe: Recipe) -> list[tuple[float, float]]:
    from pipelines.stages.run import run

    clock = Clock("annotate")
    run(recipe, stage="annotate", live_line=lambda _: clock)
    return clock.spans


# --- in turns ------------------------------------------------------------------------------------


def one_side(given: argparse.Namespace, side: str, number: int, options: Options) -> Mapping[str, float]:
    """Runs one side in a fresh process. `all`: seconds with start-up; `work`: seconds without."""
    place = {"side": side, "options": options, "scratch": str(given.scratch), "number": number}
    arguments = json.dumps(place | {"chunk": given.chunk, "workers": given.workers})
    started = time.time()
    output = subprocess.run(
        [sys.executable, "-m", "benchmarks.annotate", "--side", arguments],
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    ).stdout
    everything = time.time() - started
    spans = np.array(json.loads(output.splitlines()[-1]))
    return {"all": everything, "work": float(spans[:, 1].max() - spans[:, 0].min())}


def run_side(place: Mapping[str, Any]) -> None:
    scratch, photos = Path(place["scratch"]), Path(place["scratch"]) / "photos"
    out = scratch / f"{place['side']}-{place['number']}"
    if place["side"] == "script":
        out.mkdir()
        spans = script_side(photos, out, place["options"], place["chunk"], place["workers"])
    else:
        spans = engine_side(recipe_of(out, photos, place["options"], place["chunk"], place["workers"]))
    print(json.dumps(spans))


def prepare(given: argparse.Namespace, options: Options) -> float:
    """Makes photos and a data set for each round. Returns the seconds that the first `ingest` took in this process."""
    from pipelines.stages.run import run

    repeated(real(given.photos), given.scratch / "photos", given.images)
    seconds = []
    for number in range(given.rounds):
        recipe = recipe_of(given.scratch / f"engine-{number}", given.scratch / "photos", options, given.chunk, 0)
        started = time.perf_counter()
        run(recipe, stage="ingest", runner="inline")
        seconds.append(time.perf_counter() - started)
    return min(seconds)


def compare(given: argparse.Namespace, options: Options) -> None:
    print(f"ingest of {given.images} images, in one process: {prepare(given, options):.1f} s")
    print(f"{'':8}{'engine':>22}{'script':>22}{'time ratio':>24}")
    print(f"{'round':8}{'all s':>11}{'work s':>11}{'all s':>11}{'work s':>11}{'all':>12}{'work':>12}")
    ratios, best = [], {"engine": math.inf, "script": math.inf}
    for number in range(given.rounds):
        order = ("engine", "script") if number % 2 == 0 else ("script", "engine")
        found = {side: one_side(given, side, number, options) for side in order}
        engine, script = found["engine"], found["script"]
        best = {side: min(best[side], found[side]["work"]) for side in order}
        ratios.append([engine[part] / script[part] for part in ("all", "work")])
        times = "".join(f"{found[side][part]:11.2f}" for side in ("engine", "script") for part in ("all", "work"))
        print(f"{number:<8}{times}" + "".join(f"{ratio:12.3f}" for ratio in ratios[-1]), flush=True)
    with_start, without = np.median(ratios, axis=0)
    print(f"median: the engine takes {without:.3f} of the script's time without start-up, {with_start:.3f} with it")
    print(f"best of each, without start-up: {best['engine'] / best['script']:.3f} of the script's time")
    print(f"images/s of the script's, without start-up: {1 / without:.3f} (target >= 0.9)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=600)
    parser.add_argument("--chunk", type=int, default=50, help="images a shard, and a Parquet file of the script")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--photos", type=Path, help="a folder of JPEGs (default: photos a package ships)")
    parser.add_argument("--weights", help="an ONNX detector (default: the packaged ssd_mobilenet)")
    parser.add_argument("--head", default="yolox", help="the family of --weights")
    parser.add_argument("--min-score", type=float, default=0.05)
    parser.add_argument("--side", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.side:
        run_side(json.loads(given.side))
        return
    options: Options = {"use": "ssd_mobilenet", "min_score": given.min_score}
    if given.weights:
        options |= {"use": "onnx_detector", "weights": os.path.abspath(given.weights), "head": given.head}
    with tempfile.TemporaryDirectory() as scratch:
        given.scratch = Path(scratch)
        compare(given, options)


if __name__ == "__main__":
    main()
