"""How long `engine run` takes to find that 100,000 committed shards leave nothing to do, and how much memory.

    python -m benchmarks.planning [--shards 100000]

The data set is simulated: records and data files exist by name, as hard links to a few files that are neither JSON nor
Parquet. Opening one would fail, so a run that ends well has read only names. The peak is that of the largest process
below this one; Ray is not started.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

from engine.layout import IMAGES
from engine.running.plan import make_plan
from engine.storage.commits import Commits, record_name
from engine.storage.files import Storage
from pipelines.filter.judge import judge_node
from pipelines.ingest.header import open_dataset
from pipelines.recipe import Recipe, parse_recipe
from pipelines.stages.state import annotators

LINKS = 30_000  # hard links to one file; file systems allow up to 65,000
DETECTORS = 4


def recipe_of(dataset: Path) -> Recipe:
    detectors = {f"boxes{number}": {"use": "fake_detector", "seed": number} for number in range(DETECTORS)}
    writers = {"captions": {"use": "fake_captioner"}, "parse": {"use": "spacy_parse"}}
    return parse_recipe(
        {
            "dataset": str(dataset),
            "annotate": {
                **detectors,
                "objects": {"use": "consensus"},
                **writers,
                "phrases": {"use": "label_grounder"},
            },
            "filter": ["nms"],
        }
    )


def simulate(recipe: Recipe, shards: int) -> int:
    """Makes folders as a finished run leaves them. Returns their number."""
    storage = Storage(recipe.dataset)
    open_dataset(storage, recipe)
    nodes = annotators(recipe)
    judge = judge_node(recipe, nodes)
    folders = [IMAGES, *(node.folder for node in (*nodes, judge))]
    for folder in folders:
        simulate_folder(Path(storage.path(folder)), shards)
    return len(folders)


def simulate_folder(place: Path, shards: int) -> None:
    """Makes a folder with the names of these committed shards."""
    place.mkdir(parents=True)
    for shard in range(shards):
        if shard % LINKS == 0:
            original = place.parent / f"original-{place.name}-{shard}"
            original.write_bytes(b"neither JSON nor Parquet")
        os.link(original, place / record_name(shard, 0))
        os.link(original, place / f"{shard:05d}-0badc0de.parquet")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--shards", type=int, default=100_000)
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        recipe = recipe_of(Path(scratch) / "dataset")
        folders = simulate(recipe, given.shards)
        print(f"{given.shards} shards in {folders} folders, {2 * folders * given.shards} files", flush=True)
        path = Path(scratch) / "recipe.yaml"
        path.write_text(yaml.safe_dump(recipe.model_dump(mode="json")))
        command = [sys.executable, "-m", "pipelines.cli", "run", "-c", str(path), "--stage", "annotate"]
        started = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        seconds = time.perf_counter() - started
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
        print(f"engine run --stage annotate  {seconds:6.1f} s (target < 60)  peak {peak:.2f} GiB (target < 1)")
        nodes = annotators(recipe)
        started = time.perf_counter()
        todo = make_plan(Storage(recipe.dataset), nodes).todo()
        print(f"make_plan alone              {time.perf_counter() - started:6.1f} s")
        assert not any(mask.any() for mask in todo.values())
        found = Commits(Storage(recipe.dataset), IMAGES)
        started = time.perf_counter()
        assert len(found.data_files()) == given.shards
        print(f"one folder's data files      {time.perf_counter() - started:6.1f} s")


if __name__ == "__main__":
    main()
