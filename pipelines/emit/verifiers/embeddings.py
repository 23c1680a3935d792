"""Checks that every embedding is of an image of its shard, and that it is a vector of unit length.

All vectors of a node must have the same number of parts, over all shards.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from engine.layout import EMBEDDING_FILES
from engine.reading.release_manifest import Manifest
from engine.records.embeddings import EMBEDDING
from pipelines.emit.verifiers.check import Check, ShardContent
from pipelines.emit.writers.embeddings import RELEASED_EMBEDDINGS

UNIT = 1e-2  # how far the length of a vector may be from 1: its parts are rounded to float16


class EmbeddingVerifier:
    """Reads embeddings-*.parquet shard by shard."""

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self.folder = folder
        self.check = Check("every embedding is of its image, and has unit length")
        files = manifest["files"]
        self._stated = {file["name"]: file["rows"] for file in files if file["name"].startswith(EMBEDDING_FILES)}
        self._unread = set(self._stated)
        self._nodes = list(manifest["recipe"].get("emit", {}).get("embeddings", ()))
        self._sizes: dict[str, int] = {}
        self._rows = 0

    def read(self, shard: ShardContent) -> None:
        name = shard.table(EMBEDDING_FILES)
        if name in self._unread:
            self._unread.remove(name)
            self.check.attempt(name, lambda: self._read(name, shard))

    def finish(self) -> None:
        self.check.faults += [f"{name} is of a shard that has no images" for name in sorted(self._unread)]
        of = f"{self._rows} embeddings of {len(self._sizes)} nodes"
        self.check.detail = of if self._stated else "the release holds none"

    def _read(self, name: str, shard: ShardContent) -> None:
        table = pq.read_table(self.folder / name, page_checksum_verification=True)
        if not table.schema.equals(RELEASED_EMBEDDINGS):
            raise ValueError("its columns are not those of embeddings")
        self._rows += table.num_rows
        if table.num_rows != self._stated[name]:
            self.check.faults.append(f"{name} has {table.num_rows} rows, the manifest has {self._stated[name]}")
        self.check.faults += self._place_faults(name, table, shard)
        for node in pc.unique(table["node"]).to_pylist():
            self.check.faults += self._vector_faults(name, node, table.filter(pc.equal(table["node"], node)))

    def _place_faults(self, name: str, table: pa.Table, shard: ShardContent) -> Iterator[str]:
        """Rows of other images or nodes, rows that are there twice, and another order than that of the images."""
        found = list(zip(table["image_id"].to_pylist(), table["node"].to_pylist(), strict=True))
        images = {record["image_id"]: place for place, record in enumerate(shard.records)}
        nodes = {node: place for place, node in enumerate(self._nodes)}
        if not images:
            return  # they cannot be read, which is a fault of another check
        for (image, node), number in Counter(found).items():
            if image not in images:
                yield f"{name} has a row of {image}, which is not in {shard.name}"
            if node not in nodes:
                yield f"{name} has a row of {image} by {node}, a node that emit.embeddings does not name"
            if number > 1:
                yield f"{name} has {number} rows of {image} by {node}"
        known = [(images[image], nodes[node]) for image, node in found if image in images and node in nodes]
        if known != sorted(known):
            yield f"{name} has its rows in another order than the images of {shard.name}"

    def _vector_faults(self, name: str, node: str, table: pa.Table) -> Iterator[str]:
        """Of the rows of one node."""
        sizes = pc.list_value_length(table[EMBEDDING]).to_numpy()
        size = self._sizes.setdefault(node, int(sizes[0]))
        other = np.flatnonzero(sizes != size)
        if len(other):
            image = table["image_id"][int(other[0])].as_py()
            yield f"{name}: the embedding of {image} by {node} has {sizes[other[0]]} numbers, others have {size}"
            return
        values = table[EMBEDDING].combine_chunks().flatten().to_numpy(zero_copy_only=False)
        lengths = np.linalg.norm(values.astype(np.float64).reshape(len(sizes), size), axis=1)
        for row in np.flatnonzero(~(np.abs(lengths - 1) <= UNIT)):  # also where it is not a number
            image = table["image_id"][int(row)].as_py()
            yield f"{name}: the embedding of {image} by {node} has the length {lengths[row]:.4g}, expected 1"
