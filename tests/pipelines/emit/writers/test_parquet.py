"""The table of a shard: its columns, and the places of the images."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import pyarrow.parquet as pq

from engine.images.decode import image_id
from pipelines.emit.writers.format import SAMPLE
from pipelines.emit.writers.parquet import RELEASE
from tests.pipelines.emit.golden import golden
from tests.pipelines.emit.small_release import drawn, full, mixed, write


def test_the_columns_of_a_release_are_the_golden_ones() -> None:
    """Written column by column, because the text of a whole schema differs between versions of Arrow."""
    lines = [f"{column.name}: {column.type}{'' if column.nullable else ' not null'}\n" for column in RELEASE]
    assert "".join(lines).encode() == golden("release-schema.txt", "".join(lines).encode())


def test_the_locator_finds_the_bytes_of_every_image(tmp_path: Path) -> None:
    folder = write(tmp_path / "v1", mixed())
    rows = pq.read_table(folder / "train-00000.parquet")
    assert rows.schema.equals(RELEASE)
    for row in rows.select(["image_id", "tar", "offset", "length"]).to_pylist():
        data = (folder / row["tar"]).read_bytes()[row["offset"] : row["offset"] + row["length"]]
        assert image_id(data) == row["image_id"]


def test_rows_survive_the_table_as_they_are_in_the_json(tmp_path: Path) -> None:
    folder = write(tmp_path / "v1", [full(drawn())])
    read = pq.read_table(io.BytesIO((folder / "train-00000.parquet").read_bytes())).to_pylist()[0]
    with tarfile.open(folder / "train-00000.tar") as tar:
        member = tar.extractfile(tar.getnames()[1])
        assert member is not None
        held = json.load(member)
    assert {name: held[name] for name in SAMPLE.names} == {name: read[name] for name in SAMPLE.names}
