"""Opens a data set for reading."""

from __future__ import annotations

from engine.reading.dataset import Dataset
from pipelines.recipe import Recipe


def open_dataset(dataset: str | Recipe) -> Dataset:
    """Opens the data set of a recipe, or the one in this folder or URL: `open_dataset("data/quickstart")`.

    Reading never writes. Raises EngineError if there is no data set, or if a newer engine wrote it.
    """
    return Dataset.open(dataset.dataset if isinstance(dataset, Recipe) else dataset)
