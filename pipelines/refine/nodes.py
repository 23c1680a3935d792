"""The nodes of a refinement round (pipelines/refine/propose.py, round_merge.py and round_texts.py have what they do).

Texts take part where refine.tasks asks for them; options of theirs are part of no key where it does not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from engine.keys import stable_hash
from engine.layout import TRAINED
from engine.running.graph import Node, Resources
from engine.storage.files import Storage
from engine.storage.sealed import read_sealed
from pipelines.filter.judge import shard_options
from pipelines.ingest.probe_node import limits_of
from pipelines.recipe import Recipe
from pipelines.refine.propose_texts import WRITTEN

REFINE_VERSION = 1
TEXTS_VERSION = 2  # 1: a text named the one it replaced among its parents
REPLACES = ("boxes", "drafts", "regions", "ocr", "masks", "phrase_regions", "region_texts")
_BATCH = 64
_OF_TEXTS = frozenset(("max_briefs", "text_margin"))  # of refine.merge


def written(recipe: Recipe) -> list[str]:
    """The tasks of a round whose answers are texts it may change."""
    return [task for task in recipe.refine.tasks if task in WRITTEN]


def merge_keys(recipe: Recipe) -> dict[str, Any]:
    """refine.merge as far as it decides anything."""
    return recipe.refine.merge.model_dump(mode="json", exclude=set() if written(recipe) else set(_OF_TEXTS))


def given_node(judge: Node, number: int) -> Node:
    """The judge whose kept record a round starts from, under a name of its own, where its verdicts lie already."""
    return replace(judge, name=f"round-{number}-given", place=judge.place or judge.name)


def pairs_node(recipe: Recipe, nodes: Sequence[Node], given: Node, number: int) -> Node:
    pairs = recipe.emit.pairs.model_dump(mode="json") | {"tasks": list(recipe.refine.tasks)}
    folds = recipe.refine.folds
    return Node(
        name=f"round-{number}-pairs",
        target="pipelines.refine.propose:RoundPairs",
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
    keys = [read_sealed(storage, f"{student}/{TRAINED}")["key"] for student in students]
    look: dict[str, Any] = {"order": recipe.emit.pairs.order, "location": recipe.refine.location}
    look["max_new_tokens"] = recipe.refine.max_new_tokens
    look |= {"written": texts} if (texts := written(recipe)) else {}
    return Node(
        name=name,
        target="pipelines.refine.propose:Propose",
        options=_record(nodes, given)
        | {"name": name, "round_number": number, "dataset": recipe.dataset, "students": list(students), **look}
        | {"batch_size": _BATCH, "limits": {"max_pixels": limits.max_pixels, "max_bytes": limits.max_bytes}}
        | {"device": "cuda" if recipe.train.gpus else "cpu"},
        gives=("boxes", "drafts") if texts else ("boxes",),
        key=stable_hash(["round-propose", REFINE_VERSION, given.key, keys, look]),
        inputs=_inputs(nodes, given),
        component="florence2",
        resources=Resources(cpus=1.0, gpus=recipe.train.gpus),
        **_COMMON,
    )


def parse_node(recipe: Recipe, nodes: Sequence[Node], propose: Node, number: int) -> Node | None:
    """The recipe's own parser over what students wrote; None if it has none, or they write nothing."""
    parser = next((node for node in nodes if node.over == "texts"), None)
    if parser is None or not written(recipe):
        return None
    key = stable_hash(["round-parse", parser.key, propose.key])
    return replace(parser, name=f"round-{number}-parse", key=key, inputs={propose.name: ("drafts",)})


def merge_node(
    recipe: Recipe, nodes: Sequence[Node], given: Node, propose: Node, parse: Node | None, number: int
) -> Node:
    """Re-emits every region, so that the record takes them from here; of texts it gives only what is new."""
    options, held = merge_keys(recipe), recipe.refine.hold_labels
    name, texts = f"round-{number}-merge", written(recipe)
    reads = {**_inputs(nodes, given), propose.name: propose.gives}
    gives: tuple[str, ...] = ("regions", "region_texts")
    more: dict[str, Any] = {}
    if texts:
        parsers = [*(node for node in nodes if node.over == "texts"), *([parse] if parse else [])]
        reads |= {node.name: node.gives for node in parsers}
        phrases = any("phrases" in node.gives for node in nodes)
        gives += ("texts", *(("phrases",) if phrases else ()))
        more["written"] = {"tasks": texts, "phrases": phrases, "synonyms": _synonyms(nodes)}
    return Node(
        name=name,
        target="pipelines.refine.merge:Merge",
        options=_record(nodes, given)
        | {"name": name, "round_number": number, "propose": propose.name, "folds": recipe.refine.folds}
        | {"options": options, "held": held, **more},
        gives=gives,
        key=stable_hash(["round-merge", TEXTS_VERSION if texts else REFINE_VERSION, propose.key, options, held]),
        inputs=reads,
        replaces=REPLACES,
        component="merge",
        **_COMMON,
    )


def _synonyms(nodes: Sequence[Node]) -> bool:
    """Whether names are matched with synonyms: as the recipe's label grounder does it."""
    return all(node.options.get("synonyms", True) for node in nodes if node.target.endswith(":LabelGrounder"))


_COMMON: Mapping[str, Any] = {"needs": (), "over": "shard", "version": REFINE_VERSION}


def _record(nodes: Sequence[Node], given: Node) -> dict[str, Any]:
    return {"record": shard_options(nodes)["record"], "judge": given.name}


def _inputs(nodes: Sequence[Node], given: Node) -> dict[str, tuple[str, ...]]:
    return {node.name: node.gives for node in nodes if node.over != "texts"} | {given.name: ()}
