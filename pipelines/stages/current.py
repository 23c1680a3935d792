"""current.json: which nodes make up a data set now, and the recipe they are of.

It moves when a stage has succeeded. What can go wrong: two recipes may work on one data set, and commands that read
answer for the one whose run succeeded last: `made_by_another` tells where that is not the one that was named.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from engine.errors import DamageError, EngineError
from engine.keys import stable_hash
from engine.layout import CURRENT, RUN, RUNS
from engine.reading.dataset import CurrentNode, read_current
from engine.schema import SCHEMA_VERSION
from engine.storage.files import Storage
from engine.storage.sealed import read_sealed, seal
from pipelines.filter.judge import record_columns
from pipelines.ingest.probe_node import probe_node
from pipelines.recipe import Recipe
from pipelines.refine.standing import Standing

_DECIDES = ("annotate", "filter", "refine", "train")  # the sections of a recipe that decide which nodes there are


def settled_before(storage: Storage) -> bool:
    """Whether a stage after ingest has ever succeeded: its state stays the current one until another succeeds."""
    try:
        return bool(read_current(storage).get("settled", True))
    except FileNotFoundError:
        return False


def write_current(storage: Storage, now: Standing, recipe: Recipe, *, settled: bool = True) -> None:
    """current.json: which nodes make up the data set now, for everything that reads it back."""
    nodes, judge = now.nodes, now.judge
    described = [
        {
            "name": node.name,
            "key": node.key,
            "folder": node.folder,
            "component": node.component,
            "version": node.version,
            "deterministic": node.deterministic,
            "over": node.over,
            "needs": list(node.needs),
            "gives": list(node.gives),
            "inputs": list(node.inputs),
            "columns": record_columns(node, nodes) if node.over != "texts" else [],
        }
        for node in nodes
    ]
    current = {
        "schema_version": SCHEMA_VERSION,
        "nodes": described,
        "judge": {"folder": judge.folder, "key": judge.key},
        "probe": {"folder": probe_node(recipe).folder},
        "rounds": [record.name for record in now.decisions],
        "settled": settled,
        "recipe": recipe_digest(recipe.model_dump(mode="json")),
    }
    data = seal(current)
    if not storage.exists(CURRENT) or storage.read(CURRENT) != data:
        storage.put(CURRENT, data)


def forget_damaged_current(storage: Storage, recipe: Recipe, stage: str | None) -> list[str]:
    """Remove a current.json that is damaged: it is a function of the recipe and of what is committed. What to tell.

    Which rounds there are is found again by a run of all stages alone.
    """
    try:
        read_current(storage)
    except FileNotFoundError:
        return []
    except DamageError:
        if recipe.refine.rounds and stage is not None:
            raise
        storage.remove(CURRENT)
        return ["current.json was damaged: it was written again from the recipe."]
    return []


def current_nodes(storage: Storage) -> dict[str, CurrentNode]:
    """By name: what made up the data set at the last run, the judge among it; {} before the first."""
    try:
        current = read_current(storage)
    except FileNotFoundError:
        return {}
    judge = [{"name": "judge", **current["judge"]}] if current.get("judge") else []
    return {node["name"]: CurrentNode.from_json(node) for node in [*current["nodes"], *judge]}


def recipe_digest(sections: Mapping[str, Any]) -> str:
    """12 hex digits of what in a recipe decides which nodes there are."""
    return stable_hash([sections.get(name) for name in _DECIDES])[:12]


def made_by_another(storage: Storage, recipe: Recipe, path: str) -> str:
    """One sentence if the current state is of other nodes than those of this recipe, read from `path`; else ''."""
    try:
        current = read_current(storage)
    except (FileNotFoundError, EngineError):
        return ""  # whoever opens the data set tells of it
    digest = current.get("recipe")
    if not digest or digest == recipe_digest(recipe.model_dump(mode="json")) or _same_nodes(storage, recipe, current):
        return ""
    return (
        f"The current state of '{storage.url}' was made by {_who_made(storage, digest)}, and this is what is answered "
        f"here: for that of '{path}' run 'engine run -c {path}' first."
    )


def _same_nodes(storage: Storage, recipe: Recipe, current: Mapping[str, Any]) -> bool:
    """Recipes may differ in what changes no answer, such as a batch size. False where the nodes cannot be made here."""
    from pipelines.stages.state import read_state

    try:
        now = read_state(storage, recipe).rounds
    except EngineError:
        return False
    keys = {node["name"]: node["key"] for node in current.get("nodes", ())}
    return keys == {node.name: node.key for node in now.nodes} and current["judge"].get("key") == now.judge.key


def _who_made(storage: Storage, digest: str) -> str:
    """The command of the latest run with that recipe, from the run records."""
    for folder in sorted(storage.names(RUNS), reverse=True):
        try:
            record = read_sealed(storage, f"{RUNS}/{folder}/{RUN}")
            if recipe_digest(json.loads(record["recipe"])) == digest:
                return f"'{record['command']}' ({RUNS}/{folder})" if record["command"] else f"{RUNS}/{folder}"
        except (FileNotFoundError, EngineError, KeyError, TypeError, ValueError, AttributeError):
            continue
    return f"another recipe (digest {digest})"
