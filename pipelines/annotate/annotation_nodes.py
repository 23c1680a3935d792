"""The nodes of a recipe's section `annotate`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.errors import ConfigError
from engine.layout import MODELS, TRAINED
from engine.running.graph import Node, build
from engine.storage.files import Storage
from pipelines.filter.judge_regions import region_judge
from pipelines.recipe import Recipe
from specialists import CATALOG


def annotation_nodes(recipe: Recipe) -> list[Node]:
    """The nodes in graph order. They include the node that judges regions if a node reads kept regions."""
    annotate = {name: _with_own_model(recipe, name, options) for name, options in recipe.annotate.items()}
    return build(annotate, CATALOG, recipe.run.max_workers, lambda given: region_judge(recipe, given))


def _with_own_model(recipe: Recipe, name: str, options: Mapping[str, Any]) -> Mapping[str, Any]:
    """The options with full paths. A `checkpoint: models/NAME` is a model that was trained in this data set."""
    checkpoint = str(options.get("checkpoint", ""))
    if not checkpoint.startswith(f"{MODELS}/"):
        return options
    storage = Storage(recipe.dataset)
    if not storage.exists(f"{checkpoint}/{TRAINED}"):
        raise ConfigError(
            f"annotate.{name} names the checkpoint '{checkpoint}', which '{recipe.dataset}' does not hold: "
            f"make it with 'engine train --set train.name={checkpoint.removeprefix(MODELS + '/')}'."
        )
    return {**options, "checkpoint": storage.path(checkpoint) if storage.local else f"{storage.url}/{checkpoint}"}
