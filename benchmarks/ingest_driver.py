"""Memory and CPU time of ingest's driver by the number of images: listing, assigning to shards, and doing both again.

    python -m benchmarks.ingest_driver [--images 100000 400000]

The source is a folder of empty files. The probe's answers are simulated, with another image id for each file, so only
the driver's work is measured. Each step runs in a process of its own. `again` is the whole stage with nothing new.
`added` lists and assigns 1,000 more files; `touched` does so after a file in a thousand got another time; `copy`, with
--copy, after a second source was added that has a copy of every file, so that every shard is written again.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
import pyarrow as pa

from benchmarks.memory import peak
from engine.layout import INPUTS
from engine.running.plan import make_plan
from engine.schema import PROBE
from engine.storage.commits import Commits, Record, TableReader
from engine.storage.files import Storage
from pipelines.ingest.assign_shards import assign_shards
from pipelines.ingest.header import open_dataset
from pipelines.ingest.list_inputs import list_inputs
from pipelines.ingest.probe_node import probe_node
from pipelines.recipe import Recipe, parse_recipe
from pipelines.stages.run import run

T = TypeVar("T")
Step = tuple[float, float, float]  # CPU seconds, MiB before the step, MiB at its peak

A_FOLDER = 1000  # files in a subfolder
ADDED = 1000


def recipe_of(scratch: Path, audit: float) -> Recipe:
    sources = [{"folder": str(folder)} for name in ("photos", "copy") if (folder := scratch / name).exists()]
    ingest = {"sources": sources, **({"audit": {"fraction": audit}} if audit else {})}
    return parse_recipe({"dataset": str(scratch / "dataset"), "ingest": ingest})


def make_files(folder: Path, start: int, stop: int) -> None:
    for number in range(start, stop):
        if number % A_FOLDER == 0 or number == start:
            below = folder / f"{number // A_FOLDER:05d}"
            below.mkdir(parents=True, exist_ok=True)
        os.close(os.open(below / f"photo-{number:09d}.jpg", os.O_CREAT | os.O_WRONLY))


def touch(folder: Path) -> None:
    for below in folder.iterdir():
        os.utime(min(below.iterdir()))


def simulate_probe(recipe: Recipe) -> None:
    """Commits an answer of the probe for each listed input that has none."""
    storage, node = Storage(recipe.dataset), probe_node(recipe)
    probed = Commits(storage, node.folder)
    done = len(probed.revisions())
    for chunk, path in Commits(storage, INPUTS).data_files().items():
        if chunk >= done:
            table = TableReader(storage, path).read()
            file = probed.put_table(chunk, _answers(table, hashed="phash" in node.options))
            probed.commit(Record(chunk, 0, {"data": file}))


def _answers(listed: pa.Table, *, hashed: bool) -> pa.Table:
    names = ["/".join(uri.split("/")[-2:]) for uri in listed["uri"].to_pylist()]  # files of one name are duplicates
    ids = [hashlib.sha256(uri.encode()).hexdigest()[:32] for uri in names]
    same = {"width": 640, "height": 480, "format": "JPEG", "bytes": 100_000, "fits": ""}
    columns = []
    for field in PROBE:
        if field.name == "image_id":
            columns.append(pa.array(ids, field.type))
        elif field.name == "phash":
            columns.append(pa.array([2 * name if hashed else "" for name in ids], field.type))
        elif field.name in same:
            columns.append(pa.array([same[field.name]] * len(ids), field.type))
        elif field.name in listed.column_names:
            columns.append(listed[field.name].cast(field.type))
        else:
            columns.append(pa.array([[]] * len(ids), field.type))
    return pa.Table.from_arrays(columns, schema=PROBE)


def list_all(recipe: Recipe) -> None:
    storage = Storage(recipe.dataset)
    open_dataset(storage, recipe)
    list_inputs(storage, recipe.ingest.sources)


def assign(recipe: Recipe) -> None:
    storage, node = Storage(recipe.dataset), probe_node(recipe)
    assign_shards(storage, recipe, make_plan(storage, [node]), node)


def again(recipe: Recipe) -> None:
    summary = run(recipe, stage="ingest", runner="inline")
    assert not summary.listed


STEPS: dict[str, Callable[[Recipe], None]] = {"list": list_all, "assign": assign, "again": again}


def work(scratch: Path, audit: float, step: str) -> None:
    """Runs one step in this process, after a tiny data set. Prints CPU seconds, and MiB before it and at its peak."""
    measure_steps(3, audit, lambda recipe, step: STEPS[step](recipe))
    recipe = recipe_of(scratch, audit)
    before, began = peak(), time.process_time()
    STEPS[step](recipe)
    print(time.process_time() - began, before, peak())


def measured(recipe: Recipe, audit: float, step: str) -> Step:
    scratch = str(Path(recipe.dataset).parent)
    command = [sys.executable, "-m", "benchmarks.ingest_driver", "--work", scratch, str(audit), step]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    seconds, before, after = map(float, output.split()[-3:])
    return seconds, before, after


def measure_steps(images: int, audit: float, measure: Callable[[Recipe, str], T], *, copy: bool = True) -> dict[str, T]:
    """{step: what `measure` returned for it}"""
    with tempfile.TemporaryDirectory() as name:
        photos = Path(name) / "photos"
        make_files(photos, 0, images)
        recipe = recipe_of(Path(name), audit)
        found = {"list": measure(recipe, "list")}
        simulate_probe(recipe)
        found["assign"] = measure(recipe, "assign")
        found["again"] = measure(recipe, "again")
        for what in ("added", "touched"):
            make_files(photos, images, images + ADDED) if what == "added" else touch(photos)
            found[f"list {what}"] = measure(recipe, "list")
            simulate_probe(recipe)
            found[f"assign {what}"] = measure(recipe, "assign")
        if copy:
            (Path(name) / "copy").symlink_to(photos)
            recipe = recipe_of(Path(name), audit)
            found["list copy"] = measure(recipe, "list")
            simulate_probe(recipe)
            found["assign copy"] = measure(recipe, "assign")
        return found


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--images", type=int, nargs="+", default=[100_000, 400_000])
    options.add_argument("--audit", type=float, default=0.0, help="the share of images in the audit split")
    options.add_argument("--copy", action="store_true", help="also the steps with a copy of every file")
    options.add_argument("--work", nargs=3, help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.work:
        work(Path(given.work[0]), float(given.work[1]), given.work[2])
        return
    found = [
        measure_steps(images, given.audit, lambda recipe, step: measured(recipe, given.audit, step), copy=given.copy)
        for images in given.images
    ]
    print(f"{'':16}" + "".join(f"{images:>16,} images" for images in given.images))
    print(f"{'step':16}" + f"{'CPU s':>12}{'more MiB':>11}" * len(found) + "   bytes an image")
    for step in found[0]:
        cells = "".join(f"{one[step][0]:12.2f}{one[step][2] - one[step][1]:11.0f}" for one in found)
        growth = (found[-1][step][2] - found[0][step][2]) * 2**20 / max(np.ptp(given.images), 1)
        print(f"{step:16}{cells}{growth:17.0f}", flush=True)


if __name__ == "__main__":
    main()
