"""Checks that pyarrow reads from the tables the same records that are in the tars, each in the row of its image."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow.parquet as pq

from engine.images.decode import EXTENSIONS
from engine.layout import LOOSE_IMAGES
from engine.reading.release_manifest import Manifest, formats_of
from pipelines.emit.verifiers.check import Check, Row, ShardContent
from pipelines.emit.writers.format import SAMPLE
from pipelines.emit.writers.parquet import RELEASE


class ParquetVerifier:
    """Compares each table with its tar."""

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self.folder = folder
        self.check = Check("pyarrow reads the same records, and finds every image")
        self._in_tars = "webdataset" in formats_of(manifest)
        self._rows = 0

    def read(self, shard: ShardContent) -> None:
        """Reads the table of one shard and sets `shard.rows`. They are None if they cannot be read."""
        shard.rows = self.check.attempt(f"{shard.name}.parquet", lambda: self._table(shard.name, shard.samples))

    def finish(self) -> None:
        self.check.detail = f"{self._rows} rows"

    def _table(self, stem: str, samples: Sequence[Row] | None) -> list[Row]:
        table = pq.read_table(self.folder / f"{stem}.parquet", page_checksum_verification=True)
        if not table.schema.equals(RELEASE):
            raise ValueError("its columns are not those of a release")
        rows: list[Row] = table.to_pylist()
        self._rows += len(rows)
        if samples is not None:
            self.check.faults += _differences(stem, samples, rows)
        self.check.faults += _locator_faults(self.folder, f"{stem}.tar" if self._in_tars else "", rows)
        return rows


def _differences(stem: str, samples: Sequence[Row], rows: Sequence[Row]) -> Iterator[str]:
    if [row["image_id"] for row in rows] != [sample["image_id"] for sample in samples]:
        yield f"{stem}.parquet has other images than {stem}.tar, or in another order"
        return
    for row, sample in zip(rows, samples, strict=True):
        other = [name for name in SAMPLE.names if row[name] != sample[name]]
        if other:
            yield f"{row['image_id']} has other {', '.join(other)} in {stem}.parquet than in {stem}.tar"


def _locator_faults(folder: Path, tar: str, rows: Sequence[Row]) -> Iterator[str]:
    """Images whose bytes are not at their place. `tar`: the file they should be in; '' for a loose file each."""
    for row in rows:
        with (folder / row["tar"]).open("rb") as file:
            file.seek(row["offset"])
            digest = hashlib.sha256(file.read(row["length"])).hexdigest()
        expected = tar or f"{LOOSE_IMAGES}/{row['split']}/{row['image_id']}.{EXTENSIONS[row['format']]}"
        if row["tar"] != expected or digest[:32] != row["image_id"]:
            yield f"the bytes of {row['image_id']} are not in {row['tar']} at {row['offset']}"
