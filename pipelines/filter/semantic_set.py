"""Compares all embeddings of the data set, for the rule `semantic_duplicate`.

The survey of a shard lists the images to compare. Their embeddings are read from the answers of the node that made
them, so they are not stored twice. The result is a table for each shard, with a row for each image. Its distances do
not depend on `eps`, so another `eps` needs no new comparison.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from engine.errors import DamageError, EngineError
from engine.images.semantic_clusters import OnProgress, nearest_better
from engine.images.semantic_neighbours import AUDIT, OWN, Ints, Records, record_type
from engine.records.embeddings import EMBEDDING
from engine.records.shard import Bools, one_array
from engine.schema import SPLITS, required
from engine.storage.commits import Commits, File, Record, TableReader
from engine.storage.files import Storage
from filters.judging.apply_rules import ShardJudgement

CURVE = (0.01, 0.02, 0.05, 0.1, 0.15, 0.2)  # values of eps in the dry run

# `number`: the image's row in the shard.
CANDIDATES = pa.schema(
    [
        required("number", pa.int32()),
        required("image_id", pa.string()),
        required("pixels", pa.int64()),
        required("bytes", pa.int64()),
        required("audit", pa.bool_()),
    ]
)
# The nearest better image of the same kind (training or audit) and, for a training image, the nearest audit image.
# Null if there is none.
SEMANTIC = pa.schema(
    [
        required("image_id", pa.string()),
        required("audit", pa.bool_()),
        pa.field("better", pa.string()),
        pa.field("better_shard", pa.int32()),
        pa.field("semantic_distance", pa.float64()),
        pa.field("near_audit", pa.string()),
        pa.field("audit_distance", pa.float64()),
    ]
)


@dataclass(frozen=True, slots=True)
class Candidates:
    """The images of one shard that are compared.

    rows: the number of rows in their table. read: returns this table (schema CANDIDATES). embeddings: the file of
    answers that holds their embeddings.
    """

    rows: int
    read: Callable[[], pa.Table]
    embeddings: File


def candidates_of(judgement: ShardJudgement) -> pa.Table:
    """The images that no rule has dropped yet, without those of the split `held`, which are not used at all."""
    images = judgement.view("images")
    split = images.strings("split")
    audit = pc.is_in(split, value_set=pa.array(SPLITS[1:3]))
    size = images.numbers("width").astype(np.int64) * images.numbers("height")
    columns = [pa.array(images.rows, pa.int32()), images.ids, pa.array(size), images.strings("bytes"), audit]
    used = pc.or_(audit, pc.equal(split, SPLITS[0]))
    return pa.Table.from_arrays(columns, schema=CANDIDATES).filter(used)


class EmbeddedImages:
    """Yields the records of all shards, one batch for each shard.

    starts: where each shard begins, as a row number in the whole data set. compared: whether a row has an embedding
    to compare. It is complete once all shards were read, and is kept in a file of `folder`.
    """

    def __init__(self, storage: Storage, shards: Sequence[Candidates], left_out: pa.Array, folder: str) -> None:
        """`left_out`: ids of images that an earlier rule about the whole data set drops."""
        self.storage, self.shards, self.left_out = storage, shards, left_out
        self.starts = np.append(0, np.cumsum([shard.rows for shard in shards])).astype(np.int64)
        self.dimensions = self._dimensions()
        self.compared = np.memmap(os.path.join(folder, "compared"), np.bool_, "w+", shape=max(len(self), 1))

    def __len__(self) -> int:
        return int(self.starts[-1])

    def __iter__(self) -> Iterator[Records]:
        for number, shard in enumerate(self.shards):
            if shard.rows:
                records = self._records(number, shard.read())
                self.compared[records["row"]] = True
                yield records

    def _records(self, number: int, table: pa.Table) -> Records:
        """The records of a shard. Images whose embedding is missing, not finite or zero have none."""
        vectors, valid = self._vectors(number)
        rows = table["number"].to_numpy()
        chosen = valid[rows]
        if len(self.left_out):
            chosen &= ~pc.is_in(one_array(table["image_id"]), value_set=self.left_out).to_numpy(zero_copy_only=False)
        records: Records = np.zeros(int(chosen.sum()), record_type(self.dimensions))
        table = table.filter(pa.array(chosen))
        records["row"] = self.starts[number] + np.flatnonzero(chosen)
        records["draw"] = _draws(table["image_id"])
        for name in ("pixels", "bytes", "audit"):
            records[name] = table[name].to_numpy()
        records["vector"] = vectors[rows[chosen]]
        return records

    def _vectors(self, number: int) -> tuple[npt.NDArray[np.float16], Bools]:
        """One vector for each image of the shard, and whether it is valid."""
        column, images = self._column(number)
        vectors = np.zeros((images, self.dimensions), np.float16)
        if column is None:
            return vectors, np.zeros(images, np.bool_)
        if column.type.list_size != self.dimensions:
            raise EngineError(
                f"'{self.shards[number].embeddings.path}' has embeddings of {column.type.list_size} numbers, those of "
                f"other shards have {self.dimensions}: annotate all shards by one version of the model."
            )
        there = np.flatnonzero(column.is_valid().to_numpy(zero_copy_only=False))
        vectors[there] = column.drop_null().flatten().to_numpy(zero_copy_only=False).reshape(len(there), -1)
        length = np.square(vectors.astype(np.float32)).sum(axis=1)
        return vectors, np.isfinite(length) & (length > 0)

    def _column(self, number: int) -> tuple[pa.Array | None, int]:
        """(embeddings of a shard, number of its images). The first is None if a crash lost every image of the shard."""
        file = self.shards[number].embeddings
        reader = TableReader(self.storage, file.path, [EMBEDDING], sha256=file.sha256)
        table = reader.read()
        return (one_array(table[EMBEDDING]) if EMBEDDING in table.column_names else None), reader.rows

    def _dimensions(self) -> int:
        for number, shard in enumerate(self.shards):
            if shard.rows and (column := self._column(number)[0]) is not None:
                return int(column.type.list_size)
        return 1


def _draws(ids: pa.ChunkedArray) -> npt.NDArray[np.uint64]:
    """A random number for each image: the first 64 bits of its id, which is a hash."""
    digits = "".join(pc.utf8_slice_codeunits(ids, 0, 16).to_pylist())
    return np.frombuffer(bytes.fromhex(digits), ">u8").astype(np.uint64)


class Compared:
    """The result of the comparison. It is in files of `folder`, which must exist as long as the result is used."""

    def __init__(
        self,
        storage: Storage,
        shards: Sequence[Candidates],
        left_out: pa.Array,
        folder: str,
        on_progress: OnProgress | None = None,
    ) -> None:
        images = EmbeddedImages(storage, shards, left_out, folder)
        self.shards, self.starts, self.compared = shards, images.starts, images.compared
        self.ids = np.memmap(os.path.join(folder, "ids"), "S32", "w+", shape=max(len(images), 1))
        for start, shard in zip(self.starts, shards, strict=False):
            if shard.rows:
                self.ids[start : start + shard.rows] = np.array(shard.read()["image_id"].to_pylist(), "S32")
        found = nearest_better(images, len(images), record_type(images.dimensions), folder, on_progress)
        self.distance, self.better = found.distance, found.better

    def table(self, shard: int) -> pa.Table:
        """The rows of one shard (schema SEMANTIC). Images that were not compared have no row."""
        start, stop = (int(row) for row in self.starts[shard : shard + 2])
        rows = start + np.flatnonzero(self.compared[start:stop])
        table = self.shards[shard].read().take(pa.array(rows - start))
        better = self.better[rows, OWN]
        columns = [table["image_id"], table["audit"], self._names(better), self._home(better)]
        columns += [_or_null(self.distance[rows, OWN])]
        columns += [self._names(self.better[rows, AUDIT]), _or_null(self.distance[rows, AUDIT])]
        return pa.Table.from_arrays(columns, schema=SEMANTIC)

    def tables(self) -> Iterator[pa.Table]:
        return map(self.table, range(len(self.shards)))

    def _names(self, rows: Ints) -> pa.Array:
        return pa.array(self.ids[rows].astype(str).astype(object), pa.string(), mask=rows < 0)

    def _home(self, rows: Ints) -> pa.Array:
        """The shard that each row is in."""
        home = np.searchsorted(self.starts, rows, side="right") - 1
        return pa.array(home.astype(np.int32), mask=rows < 0)


def _or_null(distance: npt.NDArray[np.float64]) -> pa.Array:
    return pa.array(distance, mask=~np.isfinite(distance))


# --- the curve, and the committed tables ----------------------------------------------------------


def curve_of(tables: Iterable[pa.Table]) -> dict[str, Any]:
    """How many training images were compared, and how many are within each eps of a better image and of an audit image.

    {"images": n, "audit_images": n, "near_better": {"0.05": n, ..}, "near_audit": {"0.05": n, ..}}
    """
    images = audit_images = 0
    near = {"semantic_distance": np.zeros(len(CURVE), np.int64), "audit_distance": np.zeros(len(CURVE), np.int64)}
    for table in tables:
        training = table.filter(pc.invert(table["audit"]))
        images += training.num_rows
        audit_images += table.num_rows - training.num_rows
        for name, counts in near.items():
            found = training[name].drop_null().to_numpy()
            counts += (found[:, None] <= np.array(CURVE)).sum(axis=0)
    names = {"semantic_distance": "near_better", "audit_distance": "near_audit"}
    counts_by_eps = {
        names[name]: dict(zip(map(str, CURVE), counts.tolist(), strict=True)) for name, counts in near.items()
    }
    return {"images": images, "audit_images": audit_images, **counts_by_eps}


def commit_tables(storage: Storage, folder: str, compared: Compared) -> dict[str, Any]:
    """Commits the table of each shard and returns the curve."""
    commits = Commits(storage, folder)

    def tables() -> Iterator[pa.Table]:
        for shard, table in enumerate(compared.tables()):
            commits.commit(Record(shard, 0, {"data": commits.put_table(shard, table)}))
            yield table

    return curve_of(tables())


def committed_tables(storage: Storage, folder: str) -> Callable[[int], pa.Table]:
    """A function that returns the committed table of a shard."""
    commits = Commits(storage, folder)

    def read(shard: int) -> pa.Table:
        try:
            file = commits.record(shard, 0).files["data"]
        except FileNotFoundError:
            raise DamageError(
                f"The commit of shard {shard} in '{folder}' is missing: run the recipe again with 'engine run', which "
                "compares the embeddings again."
            ) from None
        return TableReader(storage, file.path, sha256=file.sha256).read()

    return read


def kept_shares(curve: Mapping[str, Any]) -> list[tuple[float, float, float]]:
    """For each eps: (eps, share of training images with no better image within it, share with no audit image)."""
    number = max(int(curve["images"]), 1)
    pairs = zip(curve["near_better"].items(), curve["near_audit"].values(), strict=True)
    return [(float(eps), 1 - better / number, 1 - audit / number) for (eps, better), audit in pairs]
