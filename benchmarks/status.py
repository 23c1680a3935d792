"""CPU time and memory of `engine status` for a large data set whose images are listed and in shards.

    python -m benchmarks.status [--images 1000000] [--shard 1000]

The tables of inputs, of the probe and of images are simulated; nothing is annotated. CPU seconds are of all threads.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa

from benchmarks.ingest_driver import recipe_of, simulate_probe
from benchmarks.memory import peak
from engine.layout import IMAGES, INPUTS, LISTINGS
from engine.reading.accounting import account
from engine.reading.dataset import Dataset
from engine.schema import IMAGES as IMAGES_SCHEMA
from engine.schema import INPUTS as INPUTS_SCHEMA
from engine.storage.commits import Commits, Record, TableReader
from engine.storage.files import Storage
from engine.storage.listings import STATES
from pipelines.ingest.header import open_dataset
from pipelines.ingest.list_inputs import CHUNK
from pipelines.ingest.probe_node import probe_node
from pipelines.recipe import Recipe


def simulate(recipe: Recipe, photos: str, images: int, shard: int) -> None:
    """Commits what ingest leaves: inputs, the probe's answers, a listing and shards."""
    storage = Storage(recipe.dataset)
    open_dataset(storage, recipe)
    inputs = Commits(storage, INPUTS)
    for chunk, start in enumerate(range(0, images, CHUNK)):
        numbers = range(start, min(start + CHUNK, images))
        inputs.commit(Record(chunk, 0, {"data": inputs.put_table(chunk, _listed(photos, numbers))}))
    simulate_probe(recipe)
    counts = {"inputs": images, "missing": 0, "gone": 0, "left_out": {}, "notes": [], "containers": {}}
    listings = Commits(storage, LISTINGS)
    file = listings.put_table(0, STATES.empty_table())
    listed = {"chunks": -(-images // CHUNK), "sources": {photos: counts}, "looked_at": [photos]}
    listings.commit(Record(0, 0, {"data": file}, counts=listed))
    _simulate_shards(storage, probe_node(recipe).folder, shard)


def _listed(photos: str, numbers: range) -> pa.Table:
    values: dict[str, Sequence[object]] = {
        "source": [photos] * len(numbers),
        "uri": [f"{photos}/{number // 1000:05d}/photo-{number:09d}.jpg" for number in numbers],
        "fingerprint": [f"100000-{1_700_000_000_000_000_000 + number}" for number in numbers],
        "frame": ["upright"] * len(numbers),
        "length": [-1] * len(numbers),
    }
    return pa.Table.from_arrays([_column(field, values, len(numbers)) for field in INPUTS_SCHEMA], schema=INPUTS_SCHEMA)


def _column(field: pa.Field, values: Mapping[str, Sequence[object]], rows: int) -> pa.Array:
    empty: object = [] if pa.types.is_list(field.type) else "" if pa.types.is_string(field.type) else 0
    return pa.array(values.get(field.name, [empty] * rows), field.type)


def _simulate_shards(storage: Storage, probe: str, shard: int) -> None:
    images, number = Commits(storage, IMAGES), 0
    for path in Commits(storage, probe).data_files().values():
        probed = TableReader(storage, path).read()
        for start in range(0, len(probed), shard):
            rows = probed.slice(start, shard)
            names = zip(rows["source"].to_pylist(), rows["uri"].to_pylist(), strict=True)
            sources = [[{"source": source, "uri": uri}] for source, uri in names]
            columns = [
                pa.array(sources, field.type)
                if field.name == "sources"
                else pa.array(["train"] * len(rows))
                if field.name == "split"
                else rows[field.name]
                for field in IMAGES_SCHEMA
            ]
            file = images.put_table(number, pa.Table.from_arrays(columns, schema=IMAGES_SCHEMA))
            images.commit(Record(number, 0, {"data": file}))
            number += 1


def work(dataset: str) -> None:
    """Counts in this process. Prints CPU seconds, elapsed seconds, and MiB before and at the peak."""
    before, began, started = peak(), time.process_time(), time.perf_counter()
    found = account(Dataset.open(dataset))
    assert found.images_balanced, found.outcomes
    print(time.process_time() - began, time.perf_counter() - started, before, peak())


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--images", type=int, nargs="+", default=[100_000, 1_000_000])
    options.add_argument("--shard", type=int, default=1000)
    options.add_argument("--work", help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.work:
        work(given.work)
        return
    for images in given.images:
        with tempfile.TemporaryDirectory() as scratch:
            recipe = recipe_of(Path(scratch), 0)
            simulate(recipe, f"{scratch}/photos", images, given.shard)
            command = [sys.executable, "-m", "benchmarks.status", "--work", recipe.dataset]
            output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
            cpu, elapsed, before, after = map(float, output.split())
            shards = len(Commits(Storage(recipe.dataset), IMAGES).revisions())
            print(
                f"{images:10,} images, {shards:7,} shards: {cpu:6.1f} s CPU, {elapsed:6.1f} s elapsed, peak memory "
                f"{before:.0f} MiB before, {after:.0f} with it",
                flush=True,
            )


if __name__ == "__main__":
    main()
