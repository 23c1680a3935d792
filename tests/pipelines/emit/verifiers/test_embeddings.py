"""Faults that `engine verify` finds in embeddings: each test changes one thing in a correct release."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.emit.verify import verify
from pipelines.emit.writers.embeddings import RELEASED_EMBEDDINGS
from tests.pipelines.emit.emitted import draw, run, wanted
from tests.pipelines.emit.test_verify import faults, only, restate

CHECK = "every embedding"
FIRST = "embeddings-train-00000.parquet"
Rows = list[dict[str, Any]]
pytestmark = pytest.mark.usefixtures("without_datasets")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    draw(folder / "photos", 5)
    nodes = {"one": {"use": "fake_embedder", "size": 4}}
    run(wanted(folder, annotate=nodes, filter=[], emit={"name": "v1", "embeddings": ["one"]}))
    release = folder / "set/releases/v1"
    restate(release, lambda manifest: manifest.pop("digest"))  # so that tests can change the manifest
    return release


@pytest.fixture
def release(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "v1"))


def rewrite(release: Path, change: Callable[[Rows], object], name: str = FIRST) -> None:
    """Changes the rows of a file, and what the manifest states of it."""
    rows = pq.read_table(release / name).to_pylist()
    change(rows)
    pq.write_table(pa.Table.from_pylist(rows, schema=RELEASED_EMBEDDINGS), release / name)

    def count(manifest: dict[str, Any]) -> None:
        next(file for file in manifest["files"] if file["name"] == name)["rows"] = len(rows)

    restate(release, count)


def changed(release: Path, change: Callable[[Rows], object], name: str = FIRST) -> str:
    """The only fault after the change."""
    rewrite(release, change, name)
    return only(verify(str(release)), CHECK)


def test_a_row_of_an_image_that_is_not_released_is_reported(release: Path) -> None:
    fault = changed(release, lambda rows: rows[-1].update(image_id="0" * 32))
    assert fault == f"{FIRST} has a row of {'0' * 32}, which is not in train-00000"


def test_a_row_of_another_node_is_reported(release: Path) -> None:
    fault = changed(release, lambda rows: rows[0].update(node="two"))
    assert fault.endswith("by two, a node that emit.embeddings does not name")


def test_an_image_that_has_two_rows_is_reported(release: Path) -> None:
    assert " has 2 rows of " in changed(release, lambda rows: rows.insert(0, rows[0]))


def test_rows_in_another_order_are_reported(release: Path) -> None:
    fault = changed(release, lambda rows: rows.reverse())
    assert fault == f"{FIRST} has its rows in another order than the images of train-00000"


@pytest.mark.parametrize(
    ("vector", "sentence"),
    [
        ([1.0, 0.2, 0.0, 0.0], "has the length 1.02, expected 1"),
        ([0.0, 0.0, 0.0, 0.0], "has the length 0, expected 1"),
        ([float("nan"), 0.0, 0.0, 0.0], "has the length nan, expected 1"),
    ],
)
def test_a_vector_that_is_not_of_unit_length_is_reported(release: Path, vector: list[float], sentence: str) -> None:
    assert sentence in changed(release, lambda rows: rows[1].update(embedding=vector))


def test_a_vector_that_is_nearly_of_unit_length_is_no_fault(release: Path) -> None:
    rewrite(release, lambda rows: rows[1].update(embedding=[1.008, 0.0, 0.0, 0.0]))
    assert faults(verify(str(release))) == {}


def test_vectors_of_two_sizes_in_two_shards_are_reported(release: Path) -> None:
    name = "embeddings-train-00001.parquet"
    fault = changed(release, lambda rows: rows[0].update(embedding=[1.0, 0.0]), name)
    assert fault.startswith(f"{name}: the embedding of ")
    assert fault.endswith(" by one has 2 numbers, others have 4")


def test_a_file_with_fewer_rows_than_the_manifest_has_is_reported(release: Path) -> None:
    table = pq.read_table(release / FIRST)
    pq.write_table(table.slice(1), release / FIRST)
    restate(release)
    assert only(verify(str(release)), CHECK) == f"{FIRST} has 3 rows, the manifest has 4"


def test_a_file_with_other_columns_is_reported(release: Path) -> None:
    pq.write_table(pq.read_table(release / FIRST).drop_columns("node"), release / FIRST)
    restate(release)
    assert only(verify(str(release)), CHECK).endswith("its columns are not those of embeddings")


def test_a_file_of_a_shard_without_images_is_reported(release: Path) -> None:
    (release / FIRST).rename(release / "embeddings-train-00007.parquet")
    path = release / "manifest.json"
    path.write_text(path.read_text().replace(FIRST, "embeddings-train-00007.parquet"))
    restate(release)
    assert only(verify(str(release)), CHECK) == "embeddings-train-00007.parquet is of a shard that has no images"
