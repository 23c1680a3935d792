"""A release names no folder of the machine that made it, and not its user, in any file of any format.

The recipe has absolute paths in every place where it can have one. All of them are in a folder whose name occurs
nowhere else, the home of a user.
"""

from __future__ import annotations

import io
import json
import platform
import sqlite3
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from engine.reading.release_manifest import Manifest, formats_of
from pipelines.emit.writers import FORMATS
from pipelines.recipe import parse_recipe
from pipelines.stages import run as stages
from tests.runs import draw_photos

USER = "zq7user"
OWN = '''
from engine.schema import Answer, Tag


class Marks:
    """Tags every image."""

    needs, gives, version, deterministic = (), ("tags",), 1, True

    def __init__(self, *, checkpoint: str) -> None:
        self.weights = (checkpoint,)

    def load(self) -> None:
        pass

    def annotate(self, batch):
        return [Answer(tags=[Tag("marked", score=0.5, score_kind="confidence")]) for _ in batch]
'''


def write_inputs(home: Path) -> None:
    """Photos in two folders, labels of the second, an audit list, a calibration, weights and a component."""
    draw_photos(home / "my photos" / "deep", 6)
    draw_photos(home / "labelled", 4, size=40)
    draw_photos(home / "listed", 1, size=50)
    images = [{"id": n, "file_name": f"{n:05d}.png", "width": 40 + n % 3, "height": 40} for n in range(4)]
    boxes = [
        {"id": n, "image_id": n, "category_id": 1, "bbox": [2, 3, 20, 30], "area": 600, "iscrowd": 0} for n in range(4)
    ]
    texts = [{"id": n, "image_id": n, "caption": "A cat on a mat."} for n in range(4)]
    categories = [{"id": 1, "name": "cat"}]
    (home / "truth").mkdir()
    for name, given in (("instances", boxes), ("captions", texts)):
        content = {"images": images, "annotations": given, "categories": categories}
        (home / "truth" / f"{name}.json").write_text(json.dumps(content))
    (home / "audit.txt").write_text(f"{home}/my photos/deep/00005.png\n")
    (home / "list.csv").write_text(f"uri\n{home}/listed/00000.png\n")
    (home / "calibration.json").write_text(json.dumps({"people": {"x": [0.1, 0.9], "y": [0.2, 0.8]}}))
    (home / "model.bin").write_bytes(b"weights")
    (home / "own_marks.py").write_text(OWN)


def recipe_of(home: Path) -> dict[str, Any]:
    """A recipe with a path of `home` wherever it may have a path."""
    calibration = {"calibration": f"{home}/calibration.json"}
    photos, truth = f"{home}/my photos", f"{home}/truth/instances.json"
    formats = [name for name in FORMATS if name != "embeddings"]
    coco = {"coco": truth, "images": f"{home}/labelled", "captions": f"{home}/truth/captions.json"}
    where = f"SELECT image_id FROM images WHERE uri NOT LIKE '{home}/never here/%' AND uri <> '{home}/a.png'"
    return {
        "dataset": f"{home}/sets/mine",
        "ingest": {
            "sources": [{"folder": photos}, coco, {"uris": f"{home}/list.csv"}],
            "audit": {"list": f"{home}/audit.txt"},
            "shard_size": 4,
        },
        "annotate": {
            "people": {"use": "human"},
            "objects": {"use": "consensus", **calibration},
            "marks": {"use": "own_marks:Marks", "checkpoint": f"{home}/model.bin"},
        },
        "filter": [{"min_score": {"floor": 0.1, **calibration}}],
        "emit": {
            "name": "v1",
            "formats": formats,
            "label_list": ["cat"],
            "where": where,
            "mixture": {"my photos": 1.0, "instances.json": 1.0, "list.csv": 0.5},
        },
    }


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Manifest]:
    """(the folder of the release, its manifest)"""
    home = tmp_path_factory.mktemp("machine") / USER
    home.mkdir()
    write_inputs(home)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(home)
        for name in ("HOME", "USER", "LOGNAME", "USERNAME"):
            patch.setenv(name, str(home) if name == "HOME" else USER)
        manifest = stages.run(parse_recipe(recipe_of(home)), runner="inline").manifest
    assert manifest is not None
    return home / "sets/mine/releases/v1", manifest


def contents(path: Path) -> Iterator[bytes]:
    """The bytes of a file and what they hold: rows of tables, members of tars, statements of databases."""
    data = path.read_bytes()
    yield data
    if path.suffix == ".parquet":
        file = pq.ParquetFile(path)
        yield repr((file.read().to_pylist(), file.schema_arrow.metadata, file.metadata.metadata)).encode()
    elif path.suffix == ".tar":
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            for member in tar:
                yield member.name.encode() + repr(member.get_info()).encode()
    elif path.suffix == ".sqlite":
        with sqlite3.connect(path) as database:
            yield "\n".join(database.iterdump()).encode()
    elif path.suffix in (".json", ".jsonl"):  # names in JSON may be escaped
        yield repr([json.loads(line) for line in ([data] if path.suffix == ".json" else data.splitlines())]).encode()


def test_the_release_has_every_format_and_images_of_each_source(released: tuple[Path, Manifest]) -> None:
    """Otherwise the other tests here would look at too little."""
    folder, manifest = released
    assert set(formats_of(manifest)) == set(FORMATS) - {"embeddings"}
    assert set(manifest["figures"]["sources"]) == {"my photos", "instances.json", "list.csv"}
    assert manifest["counts"]["regions"] > 0
    assert manifest["pairs"]["proven"]
    assert {path.suffix for path in folder.rglob("*")} >= {".tar", ".parquet", ".json", ".jsonl", ".md", ".txt"}


def test_no_file_of_any_format_names_a_folder_or_the_user(released: tuple[Path, Manifest]) -> None:
    folder, _ = released
    needles = [USER, str(folder.parents[4]), folder.parents[4].name]
    if len(platform.node()) > 5:
        needles.append(platform.node())
    found = [
        (str(path.relative_to(folder)), needle)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        for needle in needles
        if any(needle.encode() in content for content in contents(path)) or needle in str(path.relative_to(folder))
    ]
    assert found == []


def test_the_recipe_of_the_release_is_otherwise_complete(released: tuple[Path, Manifest]) -> None:
    folder, manifest = released
    recipe = manifest["recipe"]
    assert [dict(source) for source in recipe["ingest"]["sources"]] == [
        {"folder": "my photos"},
        {"coco": "instances.json", "images": "labelled", "captions": "captions.json"},
        {"uris": "list.csv"},
    ]
    assert recipe["annotate"]["marks"] == {"use": "own_marks:Marks", "checkpoint": "model.bin"}
    assert recipe["filter"] == [{"min_score": {"floor": 0.1, "calibration": "calibration.json"}}]
    assert recipe["emit"]["where"] == "SELECT image_id FROM images WHERE uri NOT LIKE '%' AND uri <> 'a.png'"
    assert list(recipe["emit"]["mixture"]) == ["my photos", "instances.json", "list.csv"]
    page = (folder / "README.md").read_text()
    assert "folder: my photos" in page
    assert "`own_marks:Marks`" in page
