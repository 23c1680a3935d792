"""Whether the section `emit` of a recipe fits its nodes."""

from __future__ import annotations

from collections.abc import Sequence

from engine.errors import ConfigError
from engine.running.graph import Node
from pipelines.emit.choice.check import check_choice
from pipelines.emit.embedding_nodes import check_embeddings
from pipelines.emit.licences import check_licences
from pipelines.emit.writers import FORMATS, chosen_formats
from pipelines.recipe import Recipe


def check_release(recipe: Recipe, nodes: Sequence[Node]) -> None:
    """Raises ConfigError if not. It is called before all stages, because their results are to be released."""
    check_licences(recipe, nodes)
    check_embeddings(recipe, nodes)
    check_choice(recipe, nodes)
    for name in chosen_formats(recipe.emit):
        if FORMATS[name].needs_labels and not recipe.emit.label_list:
            raise ConfigError(
                f"emit.formats has {name}, which numbers its classes, but emit.label_list is empty: list the labels to "
                "release in it, as [person, dog]. 'engine query --named labels' shows those of the data set."
            )
