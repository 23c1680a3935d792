"""The embeddings of a release: its rows, its bytes, its key, and what the recipe may name."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from engine.errors import ConfigError
from engine.reading.dataset import Dataset
from engine.reading.sql import query
from engine.storage.files import Storage
from pipelines.emit.content import accepted_keys, content_key
from pipelines.emit.verify import verify
from pipelines.recipe import parse_recipe
from pipelines.stages import run as stages
from pipelines.stages.dry_run import dry_run
from tests.pipelines.emit.emitted import check, draw, run, wanted
from tests.runs import recipe_data, release_files

NODES = {
    "boxes": {"use": "faulty"},
    "wide": {"use": "fake_embedder", "size": 8},
    "narrow": {
        "use": "fake_embedder",
        "size": 4,
        "where": {"sql": "SELECT image_id FROM images WHERE format <> 'JPEG'", "needs": []},
    },
}


def embedded(tmp_path: Path, dataset: str = "set", embeddings: list[str] | None = None, **changes: Any) -> Any:
    """The recipe of photos in shards of four. `narrow` works on all but the jpg: on six of ten."""
    emit = {"name": "v1", "embeddings": ["wide", "narrow"] if embeddings is None else embeddings}
    return wanted(tmp_path, dataset, annotate=NODES, emit=emit, **changes)


def rows(release: Path) -> list[dict[str, Any]]:
    return [row for path in sorted(release.glob("embeddings-*")) for row in pq.read_table(path).to_pylist()]


def answers(dataset: Path, node: str) -> dict[str, list[float]]:
    tables = [pq.read_table(path).to_pylist() for path in sorted(dataset.glob(f"{node}/*/*.parquet"))]
    return {row["image_id"]: row["embedding"] for table in tables for row in table if row["embedding"]}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str], Any]:
    """The folder of the data set, the image ids, and the manifest."""
    folder = tmp_path_factory.mktemp("embedded")
    ids = draw(folder / "photos")
    return folder / "set", ids, run(embedded(folder))


def test_each_image_has_the_vectors_of_the_named_nodes(made: tuple[Path, list[str], Any]) -> None:
    dataset, ids, manifest = made
    wide, narrow = answers(dataset, "wide"), answers(dataset, "narrow")
    assert (len(wide), len(narrow)) == (10, 6)
    expected = []
    for image in ids:
        expected.append({"image_id": image, "node": "wide", "embedding": wide[image]})
        expected += [{"image_id": image, "node": "narrow", "embedding": narrow[image]}] if image in narrow else []
    assert rows(dataset / "releases/v1") == expected
    files = {file["name"]: file["rows"] for file in manifest["files"] if file["name"].startswith("embeddings-")}
    assert files == {
        "embeddings-train-00000.parquet": 6,
        "embeddings-train-00001.parquet": 7,
        "embeddings-train-00002.parquet": 3,
    }
    schema = pq.read_schema(dataset / "releases/v1/embeddings-train-00000.parquet")
    assert schema.field("embedding").type.value_type == pa.float16()


def test_a_release_with_embeddings_is_verified_and_queried(
    made: tuple[Path, list[str], Any], without_datasets: None
) -> None:
    dataset, _, _ = made
    check(dataset / "releases/v1")
    found = {one.name: one.detail for one in verify(str(dataset / "releases/v1"))}
    assert found["every embedding is of its image, and has unit length"] == "16 embeddings of 2 nodes"

    sql = "SELECT image_id, node, kept, split, embedding FROM embeddings ORDER BY image_id, node"
    released = query(Dataset.open(str(dataset)), sql, of="releases/v1").to_pylist()
    assert released == query(Dataset.open(str(dataset)), sql).to_pylist()
    assert len(released) == 16


def test_the_card_shows_how_to_read_embeddings(made: tuple[Path, list[str], Any]) -> None:
    pytest.importorskip("datasets")
    dataset, _, _ = made
    page = (dataset / "releases/v1/README.md").read_text(encoding="utf-8")
    section = page.partition("## Embeddings\n")[2].partition("\n## ")[0]
    assert "holds 16 vectors, one for each image and node (of `wide`, `narrow`)" in section
    (block,) = re.findall(r"```python\n(.*?)```", section, flags=re.DOTALL)
    done = subprocess.run(
        [sys.executable, "-c", block],
        cwd=dataset / "releases",
        env=os.environ | {"HF_HOME": str(dataset.parent / "home"), "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    shape, length = done.stdout.splitlines()[-1].rsplit(" ", 1)
    assert shape == "(10, 8)"
    assert float(length) == pytest.approx(1, abs=1e-2)


def test_images_that_are_not_released_have_no_vectors_in_it(tmp_path: Path, without_datasets: None) -> None:
    from PIL import Image

    ids = draw(tmp_path / "photos", 5)
    Image.new("RGB", (60, 20)).save(tmp_path / "photos/00000.photo.png")  # listed between the others, and dropped
    run(embedded(tmp_path, embeddings=["wide"], filter=[{"min_side": {"pixels": 30}}]))
    assert [row["image_id"] for row in rows(tmp_path / "set/releases/v1")] == ids
    check(tmp_path / "set/releases/v1")


def test_the_same_images_give_the_same_bytes_and_the_other_files_do_not_change(
    made: tuple[Path, list[str], Any], tmp_path: Path
) -> None:
    dataset, _, manifest = made
    draw(tmp_path / "photos")
    run(embedded(tmp_path, "again"))
    files = release_files(dataset)
    assert release_files(tmp_path / "again") == files

    without = run(wanted(tmp_path, "again", "v2", annotate=NODES))
    other = {name: digest for name, digest in files.items() if not name.startswith("embeddings-")}
    assert release_files(tmp_path / "again", "v2") == other
    assert "Embeddings" not in (tmp_path / "again/releases/v2/README.md").read_text(encoding="utf-8")
    assert without["content"] != manifest["content"]


def test_the_content_key_of_a_release_without_embeddings_has_not_changed(tmp_path: Path) -> None:
    """The hash is of commit 0cf4e23. Another would make every release that exists again."""
    recipe = parse_recipe({"dataset": "x"})
    key = "eb8a3ade1bae0e80b6bcf2da1869aa0ceddd4e99ead2cb31b80bc60c17589322"
    assert key in accepted_keys(Storage(str(tmp_path)), [], recipe)
    for further in ({"embeddings": ["embed"]}, {"formats": ["webdataset"]}, {"label_list": ["cat"]}):
        recipe = parse_recipe({"dataset": "x", "emit": further})
        assert key not in accepted_keys(Storage(str(tmp_path)), [], recipe), further
    recipe = parse_recipe({"dataset": "x", "emit": {"embeddings": ["embed"]}})
    assert content_key(Storage(str(tmp_path)), [], recipe) != key


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (["wid"], "Unknown node in emit.embeddings 'wid': did you mean 'wide'?"),
        (["boxes"], "the node 'boxes' (faulty), which gives no embeddings: nodes that give some are wide, narrow."),
        (["wide", "wide"], "emit.embeddings names the node 'wide' twice: remove one of them."),
    ],
)
def test_a_name_of_no_node_with_embeddings_is_refused_before_any_work(
    tmp_path: Path, names: list[str], sentence: str
) -> None:
    recipe = embedded(tmp_path, embeddings=names)
    for work in (lambda: stages.run(recipe, runner="inline"), lambda: dry_run(recipe)):
        with pytest.raises(ConfigError, match=re.escape(sentence)):
            work()
    assert not (tmp_path / "set").exists()


def test_without_any_node_that_gives_embeddings_the_sentence_names_one(tmp_path: Path) -> None:
    data = recipe_data(tmp_path / "set", tmp_path, {}, emit={"embeddings": ["embed"]})
    with pytest.raises(ConfigError, match=r"no node of the recipe gives embeddings: add one .* `use: embed`"):
        dry_run(parse_recipe(data))
