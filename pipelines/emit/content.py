"""What determines a release: its content key, and the node that writes its shards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from engine.keys import stable_hash
from engine.layout import EMIT, IMAGES
from engine.running.engine_node import engine_node
from engine.running.graph import Node
from engine.storage.commits import Commits
from engine.storage.files import Storage
from engine.storage.removals import read_removed
from pipelines.emit.choice.plan import ReleasePlan
from pipelines.emit.writers import chosen_formats
from pipelines.filter.judge import shard_options
from pipelines.recipe import Recipe
from pipelines.release_options import Emit

EMIT_VERSION = 3
# The version before formats could be chosen. Its releases hold the same as the default formats today, so a recipe with
# the defaults does not need another one.
_BEFORE_FORMATS = 2
# Options of emit that do not change what a release holds, or that are hashed as a part of the nodes.
_NOT_HASHED = {"name", "licences", "allow_empty"}
_ALWAYS_HASHED = {"licence", "pairs"}


def content_key(storage: Storage, nodes: Sequence[Node], recipe: Recipe, version: int = EMIT_VERSION) -> str:
    """A hash of what determines the release: nodes, shards and their revisions, the options of `emit`, and removals.

    Most options are hashed only if they differ from their default, so that new options do not change the keys of
    releases without them.
    """
    folders = [IMAGES, *(node.folder for node in nodes)]
    state = {folder: Commits(storage, folder).revisions().tolist() for folder in folders}
    pairs = recipe.emit.pairs.model_dump(mode="json")
    more = _further_options(recipe.emit)
    embeddings = [{"embeddings": more.pop("embeddings")}] if "embeddings" in more else []
    removed = read_removed(storage).key  # '' if no images were removed from the data set
    return stable_hash(
        [
            *[version, state, [node.key for node in nodes], recipe.emit.licence, pairs, *embeddings],
            *([more] if more else []),
            *([{"removed": removed}] if removed else []),
        ]
    )


def _further_options(options: Emit) -> dict[str, Any]:
    """The options of emit that are not at their default. `formats` counts as given if other files are written."""
    given = options.model_dump(mode="json", exclude_defaults=True, exclude=_NOT_HASHED | _ALWAYS_HASHED | {"formats"})
    chosen = chosen_formats(options)
    usual = chosen_formats(options.model_copy(update={"formats": Emit().formats}))
    return given | ({"formats": chosen} if chosen != usual else {})


def accepted_keys(storage: Storage, nodes: Sequence[Node], recipe: Recipe) -> list[str]:
    """The content keys of releases that hold what this recipe asks for, whichever version of the engine wrote them."""
    keys = [content_key(storage, nodes, recipe)]
    if set(_further_options(recipe.emit)) <= {"embeddings"}:
        keys.append(content_key(storage, nodes, recipe, _BEFORE_FORMATS))
    return keys


def bookkeeping(content: str, folder: str) -> str:
    """The folder of the commit records of a release's shards."""
    return f"{EMIT}/{_key(content, folder)[:8]}"


def choice_folder(content: str, folder: str) -> str:
    """The folder of the choice of a release, if it has one."""
    return f"{bookkeeping(content, folder)}-choice"


def _key(content: str, folder: str) -> str:
    return stable_hash(["emit", content, folder])


def release_node(
    nodes: Sequence[Node], judge: Node, folder: str, plan: ReleasePlan, content: str, recipe: Recipe
) -> Node:
    """The node that writes the shards of the release in `folder`. `nodes`: those whose answers make up the record."""
    reads: Mapping[str, tuple[str, ...]] = {node.name: node.gives for node in nodes} | {"judge": ()}
    options = shard_options(nodes) | {
        "folder": folder,
        "numbers": dict(plan.numbers),
        "pairs": recipe.emit.pairs.model_dump(mode="json"),
        "formats": chosen_formats(recipe.emit),
        "embeddings": recipe.emit.embeddings,
        "labels": recipe.emit.label_list,
        "yolo_polygons": recipe.emit.yolo_polygons,
        "label_map": recipe.emit.labels.model_dump(mode="json"),
        "resize": recipe.emit.qwen2_5_vl.model_dump(mode="json"),
    }
    if plan.chosen:
        options["reads"] = {name: list(kinds) for name, kinds in reads.items()}
    return engine_node(
        "emit",
        "pipelines.emit.shard:Release",
        EMIT_VERSION,
        key_parts=["emit", content, folder],
        options=options,
        inputs={} if plan.chosen else reads,
        base=plan.base,
    )
