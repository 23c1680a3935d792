"""An empty data set whose views tests fill with rows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from engine.reading.dataset import Dataset
from engine.reading.sql import connect
from engine.schema import SCHEMA_VERSION
from engine.storage.files import Storage

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


@pytest.fixture
def con(tmp_path: Path) -> Iterator[DuckDBPyConnection]:
    """The views of an empty data set, for `asked` of tests/engine/reading/tables.py."""
    storage = Storage(str(tmp_path / "empty"))
    storage.put("dataset.json", json.dumps({"schema_version": SCHEMA_VERSION, "shard_size": 3}).encode())
    with connect(Dataset.open(storage.url), measuring=True) as con:
        yield con
