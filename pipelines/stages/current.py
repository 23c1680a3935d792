"""current.json: the nodes that make up a data set now, and the recipe they come from.

It is written when a stage succeeds. If two recipes work on one data set, commands that read it show the result of the
recipe whose run succeeded last. `made_by_another` detects that this is not the recipe that the user named.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from engine.errors import DamageError, EngineError
from engine.keys import stable_hash
from engine.layout import CURRENT, RUN, RUNS
from engine.reading.dataset import CurrentNode, read_current
from engine.schema import SCHEMA_VERSION
from engine.storage.files import Storage
from engine.storage.sealed import read_sealed, seal

if TYPE_CHECKING:
    from pipelines.recipe import Recipe
    from pipelines.refine.standing import Standing

_DECIDES = ("annotate", "filter", "refine", "train")  # sections of a recipe that determine its nodes


def settled_before(storage: Storage) -> bool:
    """Whether a stage after ingest has ever succeeded.

    The state that it wrote stays current until another stage succeeds.
    """
    try:
        return bool(read_current(storage).get("settled", True))
    except FileNotFoundError:
        return False


def write_current(storage: Storage, now: Standing, recipe: Recipe, *, settled: bool = True) -> None:
    """Writes current.json, which all commands that read the data set use. `settled`: whether a stage has succeeded."""
    from pipelines.filter.judge import record_columns  # here, because most commands only read current.json
    from pipelines.ingest.probe_node import probe_node

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
            **({"resolved": dict(node.resolved)} if node.resolved else {}),
            **({"where": node.where.sql} if node.where else {}),
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
    """Removes a damaged current.json, because the recipe and the commits determine it. Returns notes for the user.

    Raises DamageError if the recipe has rounds and `stage` is not None, because only a run of all stages finds the
    rounds.
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
    """{name: node} from current.json, including the judge. Empty before the first run."""
    try:
        current = read_current(storage)
    except FileNotFoundError:
        return {}
    judge = [{"name": "judge", **current["judge"]}] if current.get("judge") else []
    return {node["name"]: CurrentNode.from_json(node) for node in [*current["nodes"], *judge]}


def recipe_digest(sections: Mapping[str, Any]) -> str:
    """A hash, of 12 hex digits, of the sections of a recipe that determine its nodes."""
    return stable_hash([sections.get(name) for name in _DECIDES])[:12]


def made_by_another(storage: Storage, recipe: Recipe, path: str) -> str:
    """A sentence if the current state has other nodes than this recipe, otherwise ''. `path`: the recipe's file."""
    try:
        current = read_current(storage)
    except (FileNotFoundError, EngineError):
        return ""  # because opening the data set reports the damage
    digest = current.get("recipe")
    if not digest or digest == recipe_digest(recipe.model_dump(mode="json")) or _same_nodes(storage, recipe, current):
        return ""
    return (
        f"The current state of '{storage.url}' was made by {_who_made(storage, digest)}, and this is what is answered "
        f"here: for that of '{path}' run 'engine run -c {path}' first."
    )


def _same_nodes(storage: Storage, recipe: Recipe, current: Mapping[str, Any]) -> bool:
    """Whether the nodes of the recipe and of `current` have the same keys. False if the nodes cannot be made here.

    Different recipes may give the same keys, for example if only a batch size differs.
    """
    from pipelines.stages.state import read_state

    try:
        now = read_state(storage, recipe).rounds
    except EngineError:
        return False
    keys = {node["name"]: node["key"] for node in current.get("nodes", ())}
    return keys == {node.name: node.key for node in now.nodes} and current["judge"].get("key") == now.judge.key


def _who_made(storage: Storage, digest: str) -> str:
    """The command of the latest run whose recipe has this digest, from the records of runs."""
    for folder in sorted(storage.names(RUNS), reverse=True):
        try:
            record = read_sealed(storage, f"{RUNS}/{folder}/{RUN}")
            if recipe_digest(json.loads(record["recipe"])) == digest:
                return f"'{record['command']}' ({RUNS}/{folder})" if record["command"] else f"{RUNS}/{folder}"
        except (FileNotFoundError, EngineError, KeyError, TypeError, ValueError, AttributeError):
            continue
    return f"another recipe (digest {digest})"
