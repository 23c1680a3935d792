"""Checks the licences that the nodes state against the recipe's list `emit.licences`."""

from __future__ import annotations

from collections.abc import Sequence

from engine.errors import ConfigError
from engine.licences import is_allowed
from engine.running.graph import Node
from pipelines.recipe import Recipe


def check_licences(recipe: Recipe, nodes: Sequence[Node]) -> None:
    """Raises ConfigError if the licence of a node's code or weights is not in `emit.licences`. Names every such node.

    An empty list allows all licences. Models that were trained in this data set are always allowed.
    """
    allowed = recipe.emit.licences
    if not allowed:
        return
    refused = [
        f"{node.name} ({node.component}) has {part} under '{licence}'"
        for node in nodes
        for part, licence in (("code", node.code_licence), ("weights", node.weights_licence))
        if not is_allowed(licence, allowed)
    ]
    if refused:
        raise ConfigError(
            f"emit.licences allows {', '.join(allowed)}, but {'; '.join(refused)}: use other components, add the "
            "licence to the list, or state the right one as `code_licence` or `weights_licence` of the node."
        )
