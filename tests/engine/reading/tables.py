"""Named queries as rows, for tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from engine.reading.dataset import Dataset
from engine.reading.sql import named_query, query
from tests.builders import Row

# Those that the paper prints as tables, too.
PAPER_TABLES = (
    "annotation_statistics",
    "semantic_coverage",
    "spatial_area",
    "spatial_aspect",
    "spatial_centre",
    "nouns_without_region",
    "regions_without_text",
    "quality",
)


def table(dataset: Dataset, name: str, of: str = "") -> list[Row]:
    rows: list[Row] = query(dataset, named_query(name), of=of).to_pylist()
    return rows


def values(rows: Sequence[Row], *columns: str) -> list[tuple[Any, ...]]:
    return [tuple(row[column] for column in columns) for row in rows]
