"""Whether the section `emit` of a recipe fits its nodes."""

from __future__ import annotations

from collections.abc import Sequence

from engine.running.graph import Node
from pipelines.emit.choice.check import check_choice
from pipelines.emit.embedding_nodes import check_embeddings
from pipelines.emit.licences import check_licences
from pipelines.emit.writers import chosen_formats
from pipelines.recipe import Recipe


def check_release(recipe: Recipe, nodes: Sequence[Node]) -> None:
    """Raises ConfigError if not. It is called before all stages, because their results are to be released."""
    check_licences(recipe, nodes)
    check_embeddings(recipe, nodes)
    chosen_formats(recipe.emit)
    check_choice(recipe, nodes)
