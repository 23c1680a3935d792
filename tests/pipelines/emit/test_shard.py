"""The rows and the files of one shard."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from pipelines.emit.shard import release_rows
from pipelines.emit.write_shard import write_shard
from pipelines.emit.writers.format import SAMPLE, Shard
from tests.builders import images, record, row
from tests.pipelines.emit.small_release import mixed, table, write


def test_rows_of_other_images_are_refused() -> None:
    one, other = record(row("a" * 32)), record(row("b" * 32))
    with pytest.raises(ValueError, match="different images"):
        release_rows(one, images(other))


def test_the_rows_have_the_schema_of_a_sample() -> None:
    made: pa.Table = table(mixed())
    assert made.schema.equals(SAMPLE)


def test_the_same_shard_is_the_same_bytes(tmp_path: Path) -> None:
    first, again = write(tmp_path / "a" / "v1", mixed()), write(tmp_path / "b" / "v1", mixed())
    for name in ("train-00000.tar", "train-00000.parquet", "pairs-train-00000.parquet", "README.md", "manifest.json"):
        assert (first / name).read_bytes() == (again / name).read_bytes(), name


def test_a_shard_without_rows_has_no_files(tmp_path: Path) -> None:
    paths = {part: str(tmp_path / part) for part in ("webdataset", "parquet", "pairs")}
    written = write_shard(paths, Shard(SAMPLE.empty_table()), lambda _: b"")
    assert set(written.rows.values()) == {0}
    assert list(tmp_path.iterdir()) == []
