"""The view `parse` over files of schema version 2, which lack the column `relations`, beside files of today."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest

from engine.reading.dataset import Dataset
from engine.reading.sql import query
from engine.schema import PARSE
from engine.storage.commits import TableReader
from engine.storage.files import Storage
from tests.builders import Row, parsed, record, text
from tests.engine.reading.one_shard import write
from tests.engine.reading.tables import values
from tests.handmade import commit

RIDES: list[Row] = [{"verb": "ride", "role": "subject", "noun": "man"}]
SQL = "SELECT tokens, relations FROM parse ORDER BY tokens"


def old(*rows: Row) -> pa.Table:
    return pa.Table.from_pylist(list(rows), schema=PARSE).drop_columns(["relations"])


@pytest.fixture
def older(tmp_path: Path) -> Storage:
    """A data set whose header has schema version 2. The texts of its node `parse` are not parsed yet."""
    dataset = write(tmp_path, record(texts=[text("a"), text("b")]), [], {})
    for name in ("dataset.json", "current.json"):
        content = json.loads(dataset.storage.read(name)) | {"schema_version": 2}
        dataset.storage.put(name, json.dumps(content).encode())
    return dataset.storage


def add_node(storage: Storage) -> None:
    """A second node that parses texts, as refinement has one for each round."""
    current = json.loads(storage.read("current.json"))
    current["nodes"].append({"name": "again", "key": "k", "folder": "again/k", "over": "texts", "inputs": ["all"]})
    storage.put("current.json", json.dumps(current).encode())


def test_older_texts_have_null_and_texts_of_today_their_relations(older: Storage) -> None:
    commit(older, "parse/k", 1, old(parsed("a", tokens=1)))
    commit(older, "parse/k", 2, pa.Table.from_pylist([parsed("b", tokens=2, relations=RIDES)], schema=PARSE))
    found = query(Dataset.open(older.url), SQL).to_pylist()
    assert values(found, "tokens", "relations") == [(1, None), (2, RIDES)]


def test_two_nodes_with_columns_in_another_order(older: Storage) -> None:
    add_node(older)
    commit(older, "parse/k", 1, old(parsed("a", tokens=1, actions=["sits"])))
    commit(older, "again/k", 0, pa.Table.from_pylist([parsed("b", tokens=2, relations=RIDES)], schema=PARSE))
    found = query(Dataset.open(older.url), SQL).to_pylist()
    assert values(found, "tokens", "relations") == [(1, None), (2, RIDES)]


def test_a_file_is_read_with_null_in_the_column(older: Storage) -> None:
    commit(older, "parse/k", 1, old(parsed("a", tokens=1)))
    path = Dataset.open(older.url).files("parse/k")[1]
    table = TableReader(older, path).read()
    assert table.schema.equals(PARSE)
    assert table["relations"].to_pylist() == [None]
