"""Measures how long the nodes of a recipe take, by annotating a few images of the data set into a temporary folder."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from engine.errors import RunFailed
from engine.images.locate import absolute
from engine.layout import IMAGES, LABELS
from engine.schema import IMAGES as IMAGES_SCHEMA
from engine.schema import record_table
from engine.storage.commits import Commits, Record, TableReader
from engine.storage.files import Storage
from pipelines.annotate.run_nodes import run_nodes
from pipelines.annotate.runtime import Runtime
from pipelines.recipe import Recipe

_COUNTED_SHARDS = 200  # how many commit records are read to count the images; those in further shards are estimated


@dataclass(frozen=True, slots=True)
class NodeTime:
    name: str
    seconds: float  # for one image, in one worker, without the time to load
    failed: int


@dataclass(frozen=True, slots=True)
class NodeTimes:
    """How long each node took.

    `images`: the number of images that were timed. `whole`: about how many the data set has. `problem`: why there are
    no times.
    """

    images: int = 0
    whole: int = 0
    nodes: tuple[NodeTime, ...] = ()
    problem: str = ""

    def __str__(self) -> str:
        if self.problem:
            return f"probe: {self.problem}"
        lines = [f"probe: {self.images} of {self.whole} images, one worker, loading not counted"]
        lines.append(f"{'node':<24}{'ms/image':>10}{'failed':>8}  for all, by one worker")
        for node in self.nodes:
            total = _duration(node.seconds * self.whole)
            lines.append(f"{node.name:<24}{node.seconds * 1000:>10.1f}{node.failed:>8}  {total}")
        seconds = sum(node.seconds for node in self.nodes)
        total = _duration(seconds * self.whole)
        return "\n".join([*lines, f"{'together':<24}{seconds * 1000:>10.1f}{'':>8}  {total}, divided by workers"])


def time_nodes(recipe: Recipe, images: int) -> NodeTimes:
    """Times the nodes on at most `images` images of the data set, which is not changed."""
    from pipelines.stages.state import annotators

    nodes = annotators(recipe)
    storage = Storage(recipe.dataset)
    if not len(Commits(storage, IMAGES).revisions()):
        return NodeTimes(problem=f"'{storage.url}' holds no images yet: run --stage ingest first, then probe.")
    with tempfile.TemporaryDirectory(prefix="engine-probe-") as folder:
        trial = Storage(folder)
        count = _copy_images(storage, trial, images)
        changes = {"dataset": folder, "run": recipe.run.model_copy(update={"max_failures": 10**9})}
        runtime = Runtime(trial, recipe.model_copy(update=changes), "local")
        try:
            _, line = run_nodes(runtime, "probe", nodes)
        except RunFailed as error:
            return NodeTimes(problem=str(error))
    tallies = [(node.name, line.tallies[node.name]) for node in nodes]
    times = tuple(NodeTime(name, tally.seconds / max(count, 1), tally.failed) for name, tally in tallies)
    return NodeTimes(count, _count_images(storage), times)


def _copy_images(storage: Storage, trial: Storage, wanted: int) -> int:
    """Copies the first images into one shard of `trial`, with absolute URIs. Returns the number of images."""
    commits, rows, labels = Commits(storage, IMAGES), list[Mapping[str, Any]](), list[Mapping[str, Any]]()
    for shard, revision in enumerate(commits.revisions()):
        record = commits.record(shard, int(revision))
        reader = TableReader(storage, record.files["data"].path)
        some = reader.slice(0, min(wanted - len(rows), reader.rows)).to_pylist()
        rows += [row | {"uri": absolute(row["uri"], storage.url)} for row in some]
        if "labels" in record.files:
            labels += TableReader(storage, record.files["labels"].path).slice(0, len(some)).to_pylist()
        else:
            labels += [{"image_id": row["image_id"]} for row in some]
        if len(rows) >= wanted:
            break
    copied = Commits(trial, IMAGES)
    files = {"data": copied.put_table(0, pa.Table.from_pylist(rows, schema=IMAGES_SCHEMA))}
    files["labels"] = Commits(trial, LABELS).put_table(0, record_table(labels))
    copied.commit(Record(0, 0, files))
    return len(rows)


def _count_images(storage: Storage) -> int:
    """The number of images, estimated from some of the shards if there are many."""
    commits = Commits(storage, IMAGES)
    revisions = commits.revisions()
    step = -(-len(revisions) // _COUNTED_SHARDS)
    some = range(0, len(revisions), step)
    rows = [commits.record(shard, int(revisions[shard])).files["data"].rows for shard in some]
    return round(sum(rows) / len(rows) * len(revisions))


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
