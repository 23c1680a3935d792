"""The parses that a node reads. They stay in Arrow: as Python objects, those of a large shard would fill the memory."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from engine.records.shard import one_array
from engine.schema import Chunk, Complexity, Parse, Relation


class ParseTable:
    """The parses of the texts of one shard, by one node. `failed`: the keys of texts that could not be parsed."""

    def __init__(self, table: pa.Table) -> None:
        self._table = table
        self._keys = one_array(table["text_key"])
        failures = pc.list_value_length(one_array(table["failures"]))
        self.failed = frozenset(self._keys.filter(pc.greater(failures, 0)).to_pylist())

    def of(self, keys: Collection[str]) -> dict[str, Parse]:
        """{text key: parse} of those of these texts that are in the table."""
        rows = pc.index_in(pa.array(list(keys), pa.string()), value_set=self._keys).drop_null()
        return _parses(self._table.take(rows))

    def all(self) -> dict[str, Parse]:
        return _parses(self._table)


def _parses(table: pa.Table) -> dict[str, Parse]:
    return {row["text_key"]: _parse(row) for row in table.to_pylist()}


def _parse(row: Mapping[str, Any]) -> Parse:
    return Parse(
        **{
            **row,
            "object_complexity": Complexity(**row["object_complexity"]),
            "action_complexity": Complexity(**row["action_complexity"]),
            "chunks": [Chunk(**chunk) for chunk in row["chunks"]],
            "relations": None if row["relations"] is None else [Relation(**link) for link in row["relations"]],
        }
    )
