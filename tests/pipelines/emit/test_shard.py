"""The rows and the files of one shard."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.emit.shard import release_rows, write_shard
from pipelines.emit.writers.format import SAMPLE, Shard
from pipelines.emit.writers.parquet import RELEASE
from tests.builders import images, record, row
from tests.pipelines.emit.small_release import mixed, shard_names, table, write


def test_rows_of_other_images_are_refused() -> None:
    one, other = record(row("a" * 32)), record(row("b" * 32))
    with pytest.raises(ValueError, match="different images"):
        release_rows(one, images(other))


def test_the_rows_have_the_schema_of_a_sample() -> None:
    made: pa.Table = table(mixed())
    assert made.schema.equals(SAMPLE)


def test_the_same_shard_is_the_same_bytes(tmp_path: Path) -> None:
    first, again = write(tmp_path / "a" / "v1", mixed()), write(tmp_path / "b" / "v1", mixed())
    for name in ("train-00000.tar", "train-00000.parquet", "pairs-00000.parquet", "README.md", "manifest.json"):
        assert (first / name).read_bytes() == (again / name).read_bytes(), name


def test_a_shard_without_rows_is_readable_and_has_no_file_of_pairs(tmp_path: Path) -> None:
    paths = {part: str(tmp_path / name) for part, name in shard_names(0).items()}
    write_shard(paths, Shard(SAMPLE.empty_table(), "train-00000.tar"), lambda _: b"")
    assert not Path(paths["pairs"]).exists()
    assert pq.read_table(paths["parquet"]).equals(RELEASE.empty_table())
    with tarfile.open(paths["tar"]) as file:
        assert file.getnames() == []
