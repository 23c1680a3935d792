"""The simulated data set of race_filters.py, and the verdicts of both sides as tables with one row each."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from benchmarks.filters import IMAGES_A_SHARD, REGIONS_AN_IMAGE, images_of, record_of
from engine.layout import IMAGES
from engine.records.shard import one_array
from engine.storage.commits import Commits, TableReader
from engine.storage.files import Storage
from pipelines.filter.judge import judge_node
from pipelines.recipe import load_recipe
from pipelines.stages.state import annotators

Tables = dict[str, pa.Table]  # by kind: images, regions


def tables(regions: int) -> Iterator[tuple[pa.Table, pa.Table]]:
    """(images, record) of each shard. One image in fifty is too small for the rules."""
    shards = max(1, round(regions / REGIONS_AN_IMAGE / IMAGES_A_SHARD))
    for number in range(shards):
        random = np.random.default_rng(number)
        ids = pa.array([hashlib.sha256(b"%d %d" % (number, image)).hexdigest() for image in range(IMAGES_A_SHARD)])
        images = images_of(ids)
        width = np.where(np.arange(len(ids)) % 50 == 7, 60, 640).astype(np.int32)
        at = images.schema.get_field_index("width")
        images = images.set_column(at, images.schema.field(at), pa.array(width))
        yield images, record_of(ids, random, regions // shards, texts=0, phrases=0)


def engine_verdicts(dataset: str) -> Tables:
    """The engine's verdicts on images and regions."""
    recipe, storage = load_recipe(f"{dataset}/recipe.yaml"), Storage(dataset)
    judge = judge_node(recipe, annotators(recipe))
    files = Commits(storage, judge.folder).data_files()
    assert len(files) == len(Commits(storage, IMAGES).revisions()), "not all shards are judged"
    read = [TableReader(storage, files[shard]).read() for shard in sorted(files)]
    return {kind: _in_order([_rows(table, kind) for table in read]) for kind in ("images", "regions")}


def flat_verdicts(read: Sequence[pa.Table]) -> Tables:
    """The verdicts in the files of a script: lists of regions by image, or a table for each kind."""
    found: dict[str, list[pa.Table]] = {"images": [], "regions": []}
    for table in read:
        if "regions" in table.column_names:
            found["images"].append(_plain(table))
            found["regions"].append(_rows(table, "regions"))
        else:
            found["regions" if "id" in table.column_names else "images"].append(_plain(table))
    return {kind: _in_order(rows) for kind, rows in found.items()}


def _in_order(tables: Sequence[pa.Table]) -> pa.Table:
    table = pa.concat_tables(tables)
    return table.sort_by([(name, "ascending") for name in ("image_id", "id") if name in table.column_names])


def _rows(table: pa.Table, column: str) -> pa.Table:
    """The verdicts in a column of structs, or of lists of structs, as rows."""
    if column == "images":
        verdicts = one_array(table["image"])
        return _plain(pa.table({"image_id": table["image_id"], **_fields(verdicts)}).drop_columns(["id"]))
    lists = one_array(table[column])
    image_ids = one_array(table["image_id"]).take(pc.list_parent_indices(lists))
    return _plain(pa.table({"image_id": image_ids, **_fields(lists.flatten())}))


def _fields(structs: pa.StructArray) -> dict[str, pa.Array]:
    return {field.name: values for field, values in zip(structs.type, structs.flatten(), strict=True)}


_TYPES = {"kept": pa.bool_(), "value": pa.float64(), "threshold": pa.float64()}


def _plain(table: pa.Table) -> pa.Table:
    """The columns of verdicts, in one order and with the same types; NaN as null."""
    names = [name for name in ("image_id", "id", "kept", "rule", "value", "threshold") if name in table.column_names]
    arrays = [one_array(table[name]).cast(_TYPES.get(name, pa.string())) for name in names]
    arrays = [pc.if_else(pc.is_nan(a), None, a) if pa.types.is_floating(a.type) else a for a in arrays]
    return pa.table(dict(zip(names, arrays, strict=True)))
