"""Nodes that give embeddings: their own table, the same bytes on both runners, and what is null."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from engine.errors import ConfigError, RunFailed
from engine.reading.dataset import Dataset
from engine.reading.sql import query
from engine.running.graph import build
from engine.schema import Sample
from pipelines.recipe import parse_recipe
from pipelines.stages import run as stages
from specialists import CATALOG
from specialists.synthetic.fakes import FakeEmbedder
from tests.runs import draw_photos, failures, recipe_data

OWN = "tests.engine.running.embedders"


def data(folder: Path, photos: Path, **options: Any) -> dict[str, Any]:
    ingest = {"sources": [{"folder": str(photos)}], "shard_size": 11}
    node = {"use": f"{OWN}:Embedder", **options}
    nodes = {"vectors": node, "scores": {"use": f"{OWN}:Reader"}}
    return recipe_data(folder, photos, {}, ingest=ingest) | {"annotate": nodes, "filter": []}


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    draw_photos(folder, 12)
    return folder


@pytest.fixture(scope="module")
def ids(photos: Path) -> list[str]:
    return draw_photos(photos, 12)


def annotate(recipe: dict[str, Any], runner: str = "inline", **more: Any) -> Path:
    stages.run(parse_recipe(recipe), stage="ingest", runner="inline")
    stages.run(parse_recipe(recipe), stage="annotate", runner=runner, **more)
    return Path(recipe["dataset"])


def tables(dataset: Path, node: str = "vectors") -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(dataset.glob(f"{node}/*/*.parquet"))}


def vectors(dataset: Path) -> dict[str, Any]:
    rows = [row for path in sorted(dataset.glob("vectors/*/*.parquet")) for row in pq.read_table(path).to_pylist()]
    return {row["image_id"]: row.get("embedding") for row in rows}


def test_every_image_has_its_vector_in_the_nodes_own_table(tmp_path: Path, photos: Path, ids: list[str]) -> None:
    dataset = annotate(data(tmp_path / "set", photos))
    found = vectors(dataset)
    assert list(found) == ids
    expected = FakeEmbedder()._vector(Sample(ids[3], 1, 1))
    np.testing.assert_allclose(found[ids[3]], expected, atol=1e-3)

    rows = query(Dataset.open(str(dataset)), "SELECT * FROM embeddings ORDER BY image_id").to_pylist()
    assert [row["image_id"] for row in rows] == sorted(ids)
    assert set(rows[0]) == {"image_id", "split", "kept", "node", "embedding"}
    assert rows[0]["node"] == "vectors"
    scores = query(Dataset.open(str(dataset)), "SELECT image_id, value FROM image_scores").to_pylist()
    assert {row["image_id"]: row["value"] for row in scores} == {name: max(found[name]) for name in ids}


def test_a_release_holds_no_embeddings(tmp_path: Path, photos: Path) -> None:
    dataset = Path(data(tmp_path / "set", photos)["dataset"])
    stages.run(parse_recipe(data(tmp_path / "set", photos)), runner="inline")
    (release,) = (dataset / "releases").iterdir()
    names = [name for path in release.glob("*.parquet") for name in pq.read_schema(path).names]
    assert "embedding" not in names
    found = Dataset.open(str(dataset)).of(f"releases/{release.name}")
    assert query(found, "SELECT * FROM embeddings").num_rows == 0


def test_an_image_that_failed_has_no_vector_until_it_is_tried_again(
    tmp_path: Path, photos: Path, ids: list[str]
) -> None:
    whole = vectors(annotate(data(tmp_path / "whole", photos)))
    recipe = data(tmp_path / "set", photos, raise_on=[ids[2]], fixed=str(tmp_path / "fixed"))
    dataset = annotate(recipe)
    assert vectors(dataset) == whole | {ids[2]: None}
    assert [found["reason"] for found in failures(dataset, "scores")] == ["skipped"]

    (tmp_path / "fixed").touch()
    annotate(recipe, retry_failed=True)
    assert vectors(dataset) == whole
    assert query(Dataset.open(str(dataset)), "SELECT * FROM failures").num_rows == 0


def test_a_batch_that_runs_out_of_memory_keeps_its_vectors(tmp_path: Path, photos: Path) -> None:
    whole = tables(annotate(data(tmp_path / "whole", photos)))
    assert tables(annotate(data(tmp_path / "set", photos, fits=1))) == whole


@pytest.mark.parametrize("runner", ["local", "ray"])
def test_with_each_runner_the_bytes_are_the_same(
    tmp_path: Path, photos: Path, runner: str, request: pytest.FixtureRequest
) -> None:
    if runner == "ray":
        request.getfixturevalue("ray_cluster")
    inline = annotate(data(tmp_path / "inline", photos))
    assert tables(annotate(data(tmp_path / "set", photos), runner)) == tables(inline)


def test_a_crash_costs_one_vector(tmp_path: Path, photos: Path, ids: list[str]) -> None:
    whole = annotate(data(tmp_path / "whole", photos))
    lost = [ids[5], ids[11]]  # the second is alone in its shard, so that shard has no vector at all
    once = {"image_attempts": 1, "max_workers": 2}  # each further attempt starts a process
    crashed = annotate(data(tmp_path / "crashed", photos, crash_on=lost, batch_size=2) | {"run": once}, "local")
    assert vectors(crashed) == vectors(whole) | dict.fromkeys(lost)
    found = [(failed["image_id"], failed["reason"]) for failed in failures(crashed, "vectors")]
    assert sorted(found) == sorted((name, "crash") for name in lost)
    assert query(Dataset.open(str(crashed)), "SELECT * FROM embeddings").num_rows == 10


def test_a_component_must_state_the_length_of_its_vectors(tmp_path: Path, photos: Path) -> None:
    recipe = data(tmp_path / "set", photos) | {"annotate": {"vectors": {"use": f"{OWN}:Sizeless"}}}
    with pytest.raises(RunFailed, match="gives embeddings, but its `embedding_size` is None after `load`"):
        annotate(recipe)


def test_a_node_reads_the_vectors_of_one_node_only() -> None:
    nodes = {"a": {"use": "fake_embedder"}, "b": {"use": "fake_embedder"}, "c": {"use": f"{OWN}:Reader"}}
    with pytest.raises(ConfigError, match=r"annotate.c \(.*\) needs embeddings, but a and b give some"):
        build(nodes, CATALOG)
