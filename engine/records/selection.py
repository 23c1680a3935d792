"""Finds the images of a shard that a node works on, by the SQL of `where` in a recipe.

The tables that the SQL can read have the columns of the views of the same names. They lack the verdicts (`kept`,
`rule`, `value`, `threshold`), which are made later. The table `images` is always there. The resources in `where.needs`
add further tables, which hold the annotations that earlier nodes gave in this shard. The SQL runs once for each shard,
so it cannot compare images of different shards.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from engine.component import RESOURCES
from engine.errors import ConfigError, sql_sentence
from engine.schema import ANNOTATIONS, IMAGES, RECORD

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

Given = tuple[pa.Table, Sequence[str]]  # the table of a node, and the columns of it that count
READABLE = tuple(kind for kind, columns in RESOURCES.items() if columns)
_GUESS = re.compile(r' Did you mean "(pg|duckdb|sqlite)_\w+"\?')  # DuckDB also proposes tables of its own
_RENAMED = {"offset": "byte_offset", "length": "byte_length"}


@dataclass(frozen=True, slots=True)
class Where:
    """The `where` of a node.

    `reads`: {node: resources} for the SQL. `sample_inputs`: {node: resources} for the component itself.
    """

    sql: str
    reads: Mapping[str, tuple[str, ...]]
    sample_inputs: Mapping[str, tuple[str, ...]]


def columns_of(kinds: Iterable[str]) -> list[str]:
    """The annotation columns that these resources fill. The tables have the same names."""
    wanted = {column for kind in kinds for column in RESOURCES[kind]}
    return [column for column in ANNOTATIONS if column in wanted]


def check_sql(place: str, sql: str, needs: Sequence[str]) -> None:
    """Try the SQL on empty tables. Raises ConfigError if it fails or does not give image_id.

    `place`: the name of the node in the message. `needs`: the resources in `where.needs`.
    """
    empty = [(RECORD.empty_table(), columns_of(needs))]
    with _connected(IMAGES.empty_table(), empty) as con, _explained(place, needs):
        statements = con.extract_statements(sql)
        if len(statements) != 1 or str(statements[0].type).rpartition(".")[2] != "SELECT":
            raise ConfigError(f"{place} has a `where.sql` that is not one SELECT: give one that names image_id.")
        schema = con.sql(sql).limit(0).to_arrow_table().schema
        names = schema.names
    if "image_id" not in names:
        raise ConfigError(
            f"{place} has a `where.sql` with the columns {', '.join(names)}: it must give image_id, as in "
            "'SELECT image_id FROM images WHERE ...'."
        )
    kind = schema.field(names.index("image_id")).type
    if kind not in (pa.string(), pa.large_string()):
        raise ConfigError(
            f"{place} has a `where.sql` whose image_id is of the type {kind}, expected the image_id of a table: "
            "correct it, or it selects no image."
        )


def selected(place: str, sql: str, images: pa.Table, given: Sequence[Given]) -> npt.NDArray[np.bool_]:
    """For each row of `images`, whether the SQL returns its image_id."""
    with _connected(images, given) as con, _explained(place, ()):
        found = con.sql(f"SELECT DISTINCT image_id FROM ({sql.rstrip().rstrip(';')}\n)").to_arrow_table()
    chosen = set(found["image_id"].to_pylist())
    return np.array([name in chosen for name in images["image_id"].to_pylist()], np.bool_)


@contextmanager
def _explained(place: str, needs: Sequence[str]) -> Iterator[None]:
    import duckdb

    try:
        yield
    except duckdb.Error as error:
        hint = ""
        if isinstance(error, duckdb.CatalogException):
            tables = ", ".join(["images", *columns_of(needs)])
            hint = f" Its tables are {tables}: name what else it reads in `where.needs`."
        sentence = _GUESS.sub("", sql_sentence(str(error)))
        raise ConfigError(f"{place} has a `where.sql` that fails: {sentence}{hint}") from None


@contextmanager
def _connected(images: pa.Table, given: Sequence[Given]) -> Iterator[DuckDBPyConnection]:
    """A context with a DuckDB connection that has the tables. It cannot open files or change its settings."""
    import duckdb

    with duckdb.connect(config={"autoinstall_known_extensions": "false", "autoload_known_extensions": "false"}) as con:
        con.execute("SET threads = 1")
        con.register("given_images", images)
        own = [name for name in images.column_names if name not in ("image_id", "split")]
        fields = ", ".join(["len(sources) AS n_sources", *(f'"{name}" AS {_RENAMED.get(name, name)}' for name in own)])
        con.execute(f"CREATE TABLE images AS SELECT image_id, split, {fields} FROM given_images")
        con.unregister("given_images")
        for column in columns_of(RESOURCES):
            parts = [table for table, columns in given if column in columns]
            if parts:
                _add_table(con, column, parts)
        con.execute("SET python_enable_replacements = false")
        con.execute("SET enable_external_access = false")
        con.execute("SET lock_configuration = true")
        yield con


def _add_table(con: DuckDBPyConnection, column: str, parts: Sequence[pa.Table]) -> None:
    own = ", ".join(f'a."{field.name}"' for field in RECORD.field(column).type.value_type if field.name != "id")
    rows = pa.concat_tables([part.select(["image_id", column]) for part in parts])
    con.register("given_rows", rows)
    con.execute(
        f"""CREATE TABLE {column} AS
        SELECT r.image_id, i.split, a.id AS annotation_id, {own}
        FROM (SELECT image_id, unnest({column}) AS a FROM given_rows) r JOIN images i ON i.image_id = r.image_id"""
    )
    con.unregister("given_rows")


# --- in commit records -----------------------------------------------------------------------------------


def selection_counts(mask: npt.NDArray[np.bool_], skipped: int) -> dict[str, object]:
    """Counts for a commit record: the number of images that were not selected, and the selected ones as bits in hex.

    `skipped`: the number of images for which `where` could not be decided. They are in neither count.
    """
    return {"not_selected": int((~mask).sum()) - skipped, "selected": np.packbits(mask).tobytes().hex()}


def selection_of(counts: Mapping[str, object], images: int) -> npt.NDArray[np.bool_]:
    """For each image of a shard, whether `where` selected it, from the counts of the commit record.

    All images are selected if the node has no `where`.
    """
    if "selected" not in counts:
        return np.ones(images, np.bool_)
    bits = np.frombuffer(bytes.fromhex(str(counts["selected"])), np.uint8)
    return np.unpackbits(bits, count=images).astype(np.bool_)
