"""Hides removed inputs in the tables of ingest: inputs/, probe/, listings/, splits/.

Rows of inputs are never deleted, because their positions are counted. The row of a removed input stays, with a
placeholder for its URI (engine/storage/removals.py) and without labels. So the next listing recognises the input while
its source still has it, the accounting counts it as removed, and nothing in the row shows which image it was.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from engine.layout import INPUTS, LISTINGS, PLACED, PROBE, SPLITS, SURVEYED
from engine.schema import ANNOTATIONS, table_of
from engine.schema import INPUTS as INPUTS_SCHEMA
from engine.schema import PROBE as PROBE_SCHEMA
from engine.storage.commits import Record
from engine.storage.files import Storage
from engine.storage.listings import Key
from engine.storage.migrate import completed
from engine.storage.removals import ERROR, REASON, hashed, placeholder
from pipelines.removal.redact import Redactor
from pipelines.removal.shards import without_rows
from pipelines.removal.transaction import Changed, commits_in, names_by_shard, read_table, rewrite

_NO_LABELS: Mapping[str, list[Any]] = {name: [] for name in ANNOTATIONS}
_PLACE: Mapping[str, Any] = {"offset": 0, "length": -1}
_INPUT: Mapping[str, Any] = {
    **_PLACE,
    **_NO_LABELS,
    "frame": "auto",
    "frame_width": 0,
    "frame_height": 0,
    "reason": REASON,
    "error": ERROR,
}
_FAILURE = {"component": "ingest", "reason": REASON, "error": ERROR, "attempts": 1}
_PROBED: Mapping[str, Any] = {
    **_PLACE,
    **_NO_LABELS,
    **dict.fromkeys(("image_id", "format", "phash", "fits"), ""),
    **dict.fromkeys(("width", "height", "bytes"), 0),
    "left_out": [],
    "failures": [_FAILURE],
}


def input_folders(storage: Storage) -> list[str]:
    """The folders whose files are numbered like the chunks of inputs."""
    return [INPUTS, *(f"{top}/{key}" for top in (PROBE, PLACED) for key in storage.names(top) if "." not in key)]


def listing_folders(storage: Storage) -> list[str]:
    return [LISTINGS, *(f"{LISTINGS}/{key}" for key in storage.names(LISTINGS) if "." not in key)]


def hide_inputs(
    storage: Storage, number: str, chunks: Collection[int], images: Collection[str], keys: Collection[Key]
) -> None:
    """Hides the inputs of these chunks that contain one of the images or have one of the keys."""
    redact = Redactor(images, {uri for _, uri, _ in keys})

    def change(path: str, table: pa.Table) -> pa.Table:
        hidden = [row for row, one in enumerate(_names(table)) if _is_hidden(one, images, keys)]
        return _with_placeholders(table, hidden, probed=path.startswith(f"{PROBE}/")) if hidden else table

    def counts(changed: Changed, old: Record, new: Record) -> Record:
        return _with_failures(storage, changed, old, new, redact)

    for chunk, named in names_by_shard(storage, input_folders(storage), chunks).items():
        commits = commits_in(storage, named)
        rewrite(storage, f"{number}-inputs-{chunk:05d}", commits, Changed(storage), change, counts)


def _with_placeholders(table: pa.Table, hidden: Collection[int], *, probed: bool) -> pa.Table:
    """The table with nothing but placeholders in the hidden rows. `probed`: it is a table of probe/, not of inputs/."""
    schema, values = (PROBE_SCHEMA, _PROBED) if probed else (INPUTS_SCHEMA, _INPUT)
    rows = completed(table, schema).select(schema.names).to_pylist()
    for row in hidden:
        rows[row] = {**rows[row], **values, "uri": placeholder(rows[row]["source"], rows[row]["uri"])}
    return table_of(rows, schema)


def _names(table: pa.Table) -> Iterable[tuple[str, Key]]:
    """(image id, key) of each row. The id is '' in tables of inputs, which have none."""
    keys = (table[name].to_pylist() for name in ("source", "uri", "fingerprint"))
    ids = table["image_id"].to_pylist() if "image_id" in table.column_names else [""] * table.num_rows
    return ((image, (key[0], key[1], key[2])) for image, *key in zip(ids, *keys, strict=True))


def _is_hidden(one: tuple[str, Key], images: Collection[str], keys: Collection[Key]) -> bool:
    image, key = one
    return image in images or key in keys


def _with_failures(storage: Storage, changed: Changed, old: Record, new: Record, redact: Redactor) -> Record:
    """The new record with the failures that its table now has, and without removed names in its counts."""
    new = replace(new, counts=redact.value(old.counts))
    data = new.files.get("data")
    if data is None or changed.now(old.files["data"]) == old.files["data"] or not data.path.startswith(f"{PROBE}/"):
        return new
    failures = read_table(storage, data.path)["failures"]
    return replace(new, failures=int(pc.sum(pc.greater(pc.list_value_length(failures), 0)).as_py() or 0))


def hide_listed(storage: Storage, number: str, keys: Collection[Key], redact: Redactor) -> None:
    """Puts placeholders into the listings, which name the inputs that their source has no longer."""

    def change(path: str, table: pa.Table) -> pa.Table:
        found = {row: one for row, (_, one) in enumerate(_names(table)) if one in keys}
        if not found:
            return table
        uris = table["uri"].to_pylist()
        for row, (source, uri, _) in found.items():
            uris[row] = placeholder(source, uri)
        column = table.schema.get_field_index("uri")
        return table.set_column(column, table.schema.field("uri"), pa.array(uris, pa.string()))

    def counts(changed: Changed, old: Record, new: Record) -> Record:
        return _with_failures(storage, changed, old, new, redact)

    for listing, named in names_by_shard(storage, listing_folders(storage)).items():
        commits = commits_in(storage, named)
        rewrite(storage, f"{number}-listing-{listing:05d}", commits, Changed(storage), change, counts)


def remove_splits(storage: Storage, number: str, images: Collection[str]) -> None:
    """Removes the images from splits/. A group is named after one of its images; it gets another name if need be."""
    ids = pa.array(sorted(images), pa.string())

    def change(path: str, table: pa.Table) -> pa.Table:
        return _replaced(without_rows(table, "image_id", ids), "group", images, lambda name: hashed(name)[:32])

    for draw, named in names_by_shard(storage, [SPLITS]).items():
        rewrite(storage, f"{number}-splits-{draw:05d}", commits_in(storage, named), Changed(storage), change)


def remove_surveyed(storage: Storage, number: str, images: Collection[str]) -> None:
    """Removes the images from the tables about the whole data set, as themselves and as duplicates of others.

    The distances of other images stay; the next run finds new ones (pipelines/filter/whole_set.py).
    """
    ids = pa.array(sorted(images), pa.string())

    def change(path: str, table: pa.Table) -> pa.Table:
        table = without_rows(table, "image_id", ids)
        for column in ("same_as", "better", "near_audit"):
            table = _replaced(table, column, images, lambda _: "")
        return table

    for key in storage.names(SURVEYED):
        for shard, named in names_by_shard(storage, [f"{SURVEYED}/{key}"]).items():
            commits = commits_in(storage, named)
            rewrite(storage, f"{number}-{SURVEYED}-{key}-{shard:05d}", commits, Changed(storage), change)


def _replaced(table: pa.Table, column: str, images: Collection[str], other: Callable[[str], str]) -> pa.Table:
    """The table with other values where the column names one of the images."""
    values = table[column].to_pylist() if column in table.column_names else []
    if not set(images) & set(values):
        return table
    values = [other(value) if value in images else value for value in values]
    number = table.schema.get_field_index(column)
    return table.set_column(number, table.schema.field(column), pa.array(values, table.schema.field(column).type))
