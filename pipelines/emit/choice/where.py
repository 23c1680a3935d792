"""The images that the SQL of emit.where selects."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from engine.errors import ConfigError, sql_sentence
from engine.reading.dataset import Dataset
from engine.reading.sql import connect, run_query
from engine.records.shard import one_array

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_EXAMPLE = "'SELECT image_id FROM kept.images WHERE width >= 512'"
_CHANGING = "SELECT DISTINCT function_name FROM duckdb_functions() WHERE stability != 'CONSISTENT'"
_STRINGS = (pa.string(), pa.large_string())


def check_where(sql: str) -> None:
    """Checks what can be checked without a data set. Raises ConfigError if the SQL is no SELECT, or uses chance."""
    import duckdb

    with duckdb.connect() as con:
        tree = _tree(con, sql)
        if tree.get("error_type") == "parser":
            raise ConfigError(
                f"emit.where cannot be read ({sql_sentence(str(tree['error_message'])).rstrip('.')}): write a whole "
                f"SELECT that gives image_id, as in {_EXAMPLE}."
            )
        _check_lasting(con, sql)


def selected_ids(dataset: Dataset, sql: str) -> pa.Array:
    """The image ids that the SQL gives, over the views of `engine query`. It may give an image several times.

    Raises ConfigError if the SQL fails, does not give image_id, or could give other images the next time.
    """
    with connect(dataset) as con:
        _check_lasting(con, sql)
        try:
            found = run_query(con, sql)
        except ConfigError as error:
            raise ConfigError(f"emit.where fails. {error}") from None
    if "image_id" not in found.column_names:
        raise ConfigError(
            f"emit.where gives the columns {', '.join(found.column_names)}: it must give image_id, as in {_EXAMPLE}."
        )
    ids = one_array(found["image_id"])
    if ids.type not in _STRINGS:
        raise ConfigError(f"emit.where gives an image_id of the type {ids.type}, expected the image_id of a view.")
    return ids.cast(pa.string())


def _check_lasting(con: DuckDBPyConnection, sql: str) -> None:
    """Raises ConfigError if the SQL has a function of chance or of the time, or takes a sample.

    A statement that DuckDB cannot parse passes; running it gives the error.
    """
    tree = _tree(con, sql)
    if tree.get("error"):
        return
    changing = {str(name) for (name,) in con.execute(_CHANGING).fetchall()}
    for node in _nodes(tree):
        name = str(node.get("function_name", "")).lower()
        if name in changing:
            raise ConfigError(
                f"emit.where uses {name}(), which gives something else the next time: a release must come out the same "
                "again. Use hash(image_id), for example."
            )
        if node.get("sample"):
            raise ConfigError("emit.where takes a random sample: use a condition on hash(image_id) instead.")


def _tree(con: DuckDBPyConnection, sql: str) -> dict[str, Any]:
    """The parsed statements; with the keys `error`, `error_type` and `error_message` if there is an error."""
    (text,) = con.execute("SELECT json_serialize_sql(?)", [sql]).fetchone() or ("{}",)
    tree: dict[str, Any] = json.loads(text)
    return tree


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    if isinstance(tree, dict):
        yield tree
    for value in tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ():
        yield from _nodes(value)
