"""Runs nodes (specialists and others) on the shards for which they have no committed output."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.errors import ConfigError, RunFailed
from engine.layout import MODELS, TRAINED
from engine.running.backends import LocalBackend, RayBackend
from engine.running.failure_limits import NodeCount, too_many
from engine.running.graph import Node, build
from engine.running.interrupts import arm
from engine.running.plan import Plan, make_plan
from engine.running.progress import LiveLine, NodeTally
from engine.running.scheduler import Scheduler
from engine.running.slots import Backend
from engine.running.worker import WorkerContext
from engine.storage.commits import Commits
from engine.storage.files import Storage
from model.training.job import OnProgress
from pipelines.filter.judge_regions import region_judge
from pipelines.ingest.probe_node import limits_of
from pipelines.recipe import Recipe
from specialists import CATALOG


@dataclass(slots=True)
class Runtime:
    """How nodes are run, in Ray or in this process, and the callbacks for progress.

    live_line: makes the progress line of a stage. on_training: given the name of a training, makes the callback for its
    progress. on_note: gets sentences that a person should read before the run ends.
    """

    storage: Storage
    recipe: Recipe
    runner: str = "ray"
    address: str | None = None
    live_line: Callable[[str], LiveLine] | None = None
    on_training: Callable[[str], OnProgress] | None = None
    on_note: Callable[[str], None] | None = None
    tallies: dict[str, NodeTally] = field(default_factory=dict)  # by name, of nodes that ran a unit or left a note
    logs: str = ""  # folder for the output of workers, relative to the data set; '' discards it

    def backend(self, nodes: Mapping[str, Node]) -> Backend:
        context = WorkerContext(
            nodes=dict(nodes),
            dataset=self.storage.url,
            limits=limits_of(self.recipe),
            decode_seconds=self.recipe.ingest.max_seconds,
            web_attempts=self.recipe.run.web_attempts,
        )
        if self.runner == "local":
            return LocalBackend(context, logs=self.logs)
        backend = RayBackend(context, address=self.address, logs=self.logs)
        arm()  # Ray has set signal handlers of its own
        return backend


def annotation_nodes(recipe: Recipe) -> list[Node]:
    annotate = {name: _with_own_model(recipe, name, options) for name, options in recipe.annotate.items()}
    return build(annotate, CATALOG, recipe.run.max_workers, lambda given: region_judge(recipe, given))


def _with_own_model(recipe: Recipe, name: str, options: Mapping[str, Any]) -> Mapping[str, Any]:
    """The options with `checkpoint: models/NAME`, a model trained in this data set, replaced by its full path."""
    checkpoint = str(options.get("checkpoint", ""))
    if not checkpoint.startswith(f"{MODELS}/"):
        return options
    storage = Storage(recipe.dataset)
    if not storage.exists(f"{checkpoint}/{TRAINED}"):
        raise ConfigError(
            f"annotate.{name} names the checkpoint '{checkpoint}', which '{recipe.dataset}' does not hold: "
            f"make it with 'engine train --set train.name={checkpoint.removeprefix(MODELS + '/')}'."
        )
    return {**options, "checkpoint": storage.path(checkpoint) if storage.local else f"{storage.url}/{checkpoint}"}


def run_nodes(
    runtime: Runtime,
    stage: str,
    nodes: Sequence[Node],
    known: Sequence[Node] = (),
    *,
    retry_failed: bool = False,
    again: Mapping[str, frozenset[int]] | None = None,
) -> tuple[Plan, LiveLine]:
    """Runs the nodes on all shards that need it. Starts no backend if there is nothing to do.

    RunFailed if images cannot be read now or a component failed on too many, after all other work is done.
    """
    for node in nodes:  # a run killed after its last commit leaves temporary files even if nothing is left to do
        runtime.storage.sweep_temporaries(node.folder)
    plan = make_plan(runtime.storage, nodes, known, retry_failed=retry_failed, again=again)
    line = (
        runtime.live_line(stage) if runtime.live_line else LiveLine(stage, runtime.recipe.ingest.shard_size, live=False)
    )
    if not any(mask.any() for mask in plan.todo().values()):
        return plan, line
    before = {node.name: plan.revisions[node.name].copy() for node in nodes}
    backend = runtime.backend(plan.known)
    scheduler = Scheduler(runtime.storage, plan, backend, line, runtime.recipe.run)
    try:
        scheduler.run()
    finally:
        backend.close()
        line.close()
        runtime.tallies |= {name: tally for name, tally in line.tallies.items() if tally.units or tally.notes}
        sweep(runtime.storage, [node for node in nodes if line.tallies.get(node.name, None)])
    _check_outcome(runtime, stage, nodes, scheduler, before)
    return plan, line


def _check_outcome(
    runtime: Runtime,
    stage: str,
    nodes: Sequence[Node],
    scheduler: Scheduler,
    before: Mapping[str, npt.NDArray[np.int32]],
) -> None:
    """RunFailed if images cannot be read now, or if a node failed on too many items."""
    sentences = [absent_sentence(scheduler.queues.absent, stage)] if scheduler.queues.absent else []
    for node in nodes:
        count, share = scheduler.counts.get(node.name, NodeCount()), runtime.recipe.run.max_failed_share
        if node.over != "entries" and too_many(node.name, count, share):
            count.attempted += _rows(runtime.storage, node, before[node.name])
            sentences.append(too_many(node.name, count, share))
    if any(sentences):
        raise RunFailed(". ".join(filter(None, sentences)))


def _rows(storage: Storage, node: Node, revisions: npt.NDArray[np.int32]) -> int:
    """The number of rows that this node had committed before this run."""
    commits = Commits(storage, node.folder)
    records = (commits.record(shard, int(revision)) for shard, revision in enumerate(revisions) if revision >= 0)
    return sum(file.rows for record in records for part, file in record.files.items() if part == "data")


def absent_sentence(absent: Mapping[int, Mapping[str, tuple[str, str]]], stage: str) -> str:
    """A sentence: how many images cannot be read now, why, and what to do."""
    found = [reason_and_error for images in absent.values() for reason_and_error in images.values()]
    reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(Counter(reason for reason, _ in found).items()))
    what = f"{len(found)} image{'s' * (len(found) != 1)} of {len(absent)} shard{'s' * (len(absent) != 1)}"
    held = "no release is made" if stage == "emit" else "these shards are not done"
    return (
        f"{what} cannot be read now, so {held} ({reasons}; {found[0][1]}): put the files back and run the same command "
        "again, or go on without these images with --set run.missing=fail"
    )


def sweep(storage: Storage, nodes: Sequence[Node]) -> None:
    """Removes data files that no commit record lists, from the folders of these nodes."""
    for node in nodes:
        Commits(storage, node.folder).sweep()
