"""The nodes of a refinement round (pipelines/rounds.py and round_merge.py have what they do)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from engine.config import Recipe
from engine.graph import Node, Resources
from engine.keys import stable_hash
from engine.storage import Storage
from pipelines.filter import shard_options
from pipelines.ingest import limits_of

REFINE_VERSION = 1
_REPLACES = ("boxes", "regions", "ocr", "masks", "phrase_regions", "region_texts")
_BATCH = 64


def given_node(judge: Node, number: int) -> Node:
    """The judge whose kept record a round starts from, under a name of its own, where its verdicts lie already."""
    return replace(judge, name=f"round-{number}-given", place=judge.place or judge.name)


def pairs_node(recipe: Recipe, nodes: Sequence[Node], given: Node, number: int) -> Node:
    pairs = recipe.emit.pairs.model_dump(mode="json") | {"tasks": list(recipe.refine.tasks)}
    folds = recipe.refine.folds
    return Node(
        name=f"round-{number}-pairs",
        target="pipelines.rounds:RoundPairs",
        options=_record(nodes, given) | {"pairs": pairs, "folds": folds},
        gives=(),
        key=stable_hash(["round-pairs", REFINE_VERSION, given.key, pairs, folds]),
        inputs=_inputs(nodes, given),
        component="pairs",
        **_COMMON,
    )


def propose_node(recipe: Recipe, nodes: Sequence[Node], given: Node, number: int, students: Sequence[str]) -> Node:
    """`students`: folders of the data set, one a fold."""
    storage, name, limits = Storage(recipe.dataset), f"round-{number}-propose", limits_of(recipe)
    keys = [json.loads(storage.read(f"{student}/training.json"))["key"] for student in students]
    look: dict[str, Any] = {"order": recipe.emit.pairs.order, "location": recipe.refine.location}
    look["max_new_tokens"] = recipe.refine.max_new_tokens
    return Node(
        name=name,
        target="pipelines.rounds:Propose",
        options=_record(nodes, given)
        | {"name": name, "round_number": number, "dataset": recipe.dataset, "students": list(students), **look}
        | {"batch_size": _BATCH, "limits": {"max_pixels": limits.max_pixels, "max_bytes": limits.max_bytes}}
        | {"device": "cuda" if recipe.train.gpus else "cpu"},
        gives=("boxes",),
        key=stable_hash(["round-propose", REFINE_VERSION, given.key, keys, look]),
        inputs=_inputs(nodes, given),
        component="florence2",
        resources=Resources(cpus=1.0, gpus=recipe.train.gpus),
        **_COMMON,
    )


def merge_node(recipe: Recipe, nodes: Sequence[Node], given: Node, propose: Node, number: int) -> Node:
    """Re-emits every region, so that the record takes them from here."""
    options, held = recipe.refine.merge.model_dump(mode="json"), recipe.refine.hold_labels
    name = f"round-{number}-merge"
    return Node(
        name=name,
        target="pipelines.round_merge:Merge",
        options=_record(nodes, given)
        | {"name": name, "round_number": number, "propose": propose.name, "folds": recipe.refine.folds}
        | {"options": options, "held": held},
        gives=("regions", "region_texts"),
        key=stable_hash(["round-merge", REFINE_VERSION, propose.key, options, held]),
        inputs={**_inputs(nodes, given), propose.name: ("boxes",)},
        replaces=_REPLACES,
        component="merge",
        **_COMMON,
    )


_COMMON: Mapping[str, Any] = {"needs": (), "over": "shard", "version": REFINE_VERSION}


def _record(nodes: Sequence[Node], given: Node) -> dict[str, Any]:
    return {"record": shard_options(nodes)["record"], "judge": given.name}


def _inputs(nodes: Sequence[Node], given: Node) -> dict[str, tuple[str, ...]]:
    return {node.name: node.gives for node in nodes if node.over != "texts"} | {given.name: ()}
