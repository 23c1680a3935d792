"""A data set, opened to be read."""

from __future__ import annotations

from engine.reading.dataset import Dataset
from pipelines.recipe import Recipe


def open_dataset(dataset: str | Recipe) -> Dataset:
    """The data set of a recipe, or in this folder or URL: `open_dataset("data/quickstart")`.

    Reading never writes. EngineError if there is none, or a newer engine wrote it.
    """
    return Dataset.open(dataset.dataset if isinstance(dataset, Recipe) else dataset)
