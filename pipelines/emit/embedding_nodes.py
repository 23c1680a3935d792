"""Whether the nodes that emit.embeddings names give embeddings."""

from __future__ import annotations

from collections.abc import Sequence

from engine.errors import ConfigError, unknown
from engine.records.embeddings import EMBEDDINGS
from engine.running.graph import Node
from pipelines.recipe import Recipe


def check_embeddings(recipe: Recipe, nodes: Sequence[Node]) -> None:
    """ConfigError for the first name in emit.embeddings that is of no such node, or that is there twice."""
    wanted = recipe.emit.embeddings
    by_name = {node.name: node for node in nodes}
    givers = [node.name for node in nodes if EMBEDDINGS in node.gives]
    for position, name in enumerate(wanted):
        if name in wanted[:position]:
            raise ConfigError(f"emit.embeddings names the node '{name}' twice: remove one of them.")
        if name in givers:
            continue
        if not givers:
            raise ConfigError(
                f"emit.embeddings names '{name}', but no node of the recipe gives embeddings: add one to `annotate`, "
                "such as one with `use: embed`, or remove emit.embeddings."
            )
        if name not in by_name:
            raise unknown("node in emit.embeddings", name, givers)
        raise ConfigError(
            f"emit.embeddings names the node '{name}' ({by_name[name].component}), which gives no embeddings: "
            f"nodes that give some are {', '.join(givers)}."
        )
