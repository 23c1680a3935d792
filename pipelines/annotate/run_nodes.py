"""Runs nodes (specialists and others) on the shards for which they have no committed output."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from engine.errors import RunFailed
from engine.running.failure_limits import NodeCount, too_many
from engine.running.graph import Node
from engine.running.plan import Plan, make_plan
from engine.running.progress import LiveLine
from engine.running.scheduler import Scheduler
from engine.storage.commits import Commits
from engine.storage.files import Storage
from pipelines.annotate.runtime import Runtime


def run_nodes(
    runtime: Runtime,
    stage: str,
    nodes: Sequence[Node],
    known: Sequence[Node] = (),
    *,
    retry_failed: bool = False,
    again: Mapping[str, frozenset[int]] | None = None,
    opened: Sequence[Node] = (),
) -> tuple[Plan, LiveLine]:
    """Runs the nodes on all shards that need them. Starts no backend if there is nothing to do.

    `opened`: nodes whose answers the components open themselves, in shards of their choice.

    Raises RunFailed, after all other work is done, if some images cannot be read now or a component failed on too many.
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
    backend = runtime.backend({**{node.name: node for node in opened}, **plan.known})
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
    """Raises RunFailed if some images cannot be read now, or if a node failed on too many items."""
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
    """A sentence that states how many images cannot be read now, why, and what to do."""
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
