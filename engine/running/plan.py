"""Finds what is committed and what is to do, from listings of file names alone.

Shards are positions in arrays of revisions, so a plan for a hundred thousand shards takes a few megabytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from engine.layout import IMAGES
from engine.running.graph import Node
from engine.storage.commits import Commits, check_holes, check_tail
from engine.storage.files import Storage


@dataclass(slots=True)
class Plan:
    """What is committed and what is to do, for the shards 0 to shards - 1."""

    nodes: Sequence[Node]  # to run, in graph order
    known: Mapping[str, Node]  # `nodes` and all nodes that they read
    shards: int
    revisions: dict[str, npt.NDArray[np.int32]]  # by node name, and IMAGES
    retry: dict[str, frozenset[int]] = field(default_factory=dict)  # shards whose failures are tried again
    generation: int = 0  # the revision that retried shards get

    def required(self, node: Node) -> npt.NDArray[np.int32]:
        """For each shard the revision that the node must have. It is the latest revision of its inputs.

        -1 if an input is missing.
        """
        needed = np.zeros(self.shards, np.int32)
        if node.reads_labels:
            needed = np.maximum(needed, self.revisions[IMAGES])
        missing = self.revisions[IMAGES] < 0
        for name in node.inputs:
            given = self.revisions[name]
            missing |= given < 0
            needed = np.maximum(needed, given)
        needed[missing] = -1
        return needed

    def todo(self) -> dict[str, npt.NDArray[np.bool_]]:
        """For each node, a mask of the shards to do. `nodes` must be in graph order.

        A shard is also to do if it has to wait for one of its inputs.
        """
        masks: dict[str, npt.NDArray[np.bool_]] = {}
        for node in self.nodes:
            own = self.revisions[node.name]
            mask: npt.NDArray[np.bool_] = (own < 0) | (own < self.required(node))
            for name in node.inputs:
                if name in masks:
                    mask = mask | masks[name]
            mask[list(self.retry.get(node.name, ()))] = True
            masks[node.name] = mask
        return masks


def make_plan(
    storage: Storage,
    nodes: Sequence[Node],
    known: Sequence[Node] = (),
    *,
    retry_failed: bool = False,
    again: Mapping[str, frozenset[int]] | None = None,
) -> Plan:
    """The plan for running `nodes`. `known`: nodes that they read but that do not run.

    `again`: for each node, the shards whose failures are tried again. `retry_failed`: do so for all shards with
    failures.
    """
    all_nodes = {node.name: node for node in (*known, *nodes)}
    folder = nodes[0].base if nodes else IMAGES
    base = Commits(storage, folder).revisions()
    check_holes(storage, folder, base)
    revisions = {IMAGES: base}
    for node in all_nodes.values():
        found = Commits(storage, node.folder).revisions()
        check_tail(storage, folder, len(base), node.folder, len(found))
        missing = np.full(max(len(base) - len(found), 0), -1, np.int32)
        revisions[node.name] = np.append(found[: len(base)], missing)
    plan = Plan(nodes, all_nodes, len(base), revisions)
    if retry_failed:
        again = {node.name: _failed_shards(storage, node, revisions[node.name]) for node in nodes}
    if again:
        plan.generation = max(int(found.max(initial=0)) for found in revisions.values()) + 1
        plan.retry = dict(again)
    return plan


def _failed_shards(storage: Storage, node: Node, revisions: npt.NDArray[np.int32]) -> frozenset[int]:
    if node.over == "shard":
        return frozenset()
    commits = Commits(storage, node.folder)
    return frozenset(
        shard
        for shard, revision in enumerate(revisions)
        if revision >= 0 and commits.record(shard, int(revision)).failures
    )
