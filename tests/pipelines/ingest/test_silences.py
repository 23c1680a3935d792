"""Five sources with everything that could be lost silently, through both runners: all is counted and reported."""

from __future__ import annotations

import io
import json
import re
import tarfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from engine.reading.accounting import account
from engine.reading.dataset import Dataset
from pipelines.cli.commands import app
from tests.runs import recipe_data, write_recipe
from tests.written_sources import photographs

BOX, NAN = [1, 1, 20, 20], float("nan")
LEFT_OUT = {
    "folder": {"a file or folder that exclude matches": 1, "a hidden file or folder": 1},
    "instances.json": {
        "an image that is listed twice": 1,
        "an annotation of no listed image": 1,
        "an annotation of no listed category": 1,
        "a mask that cannot be read": 1,
        "a mask whose size is not its image's": 1,
        "a box without area": 1,
    },
    "shard.tar": {"a hidden member": 1, "a member that ends in .cls": 1, "a txt that cannot be read": 1},
    "rows.parquet": {},
    "list.txt": {"an input that is listed twice": 1},
}
INPUTS = {"folder": 7, "instances.json": 3, "shard.tar": 6, "rows.parquet": 5, "list.txt": 3}


@pytest.fixture(params=("inline", "local"))
def runner(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def engine_output(*arguments: str) -> str:
    result = CliRunner().invoke(app, list(arguments))
    assert (result.exit_code, result.exception) == (0, None), result.output
    return result.output


def test_every_input_is_counted_and_everything_left_out_is_reported(tmp_path: Path, runner: str) -> None:
    sources = draw(tmp_path)
    nodes = {"people": {"use": "human"}, "alt": {"use": "source_texts"}}
    ingest = {"sources": sources, "shard_size": 8}
    data = recipe_data(tmp_path / "set", "", {}, ingest=ingest, annotate=nodes, filter=[])
    command = ("run", "-c", str(write_recipe(tmp_path / "recipe.yaml", data)), "--runner")
    printed = engine_output(*command, runner, "--stage", "ingest")
    engine_output(*command, runner, "--stage", "annotate")
    engine_output(*command, "inline", "--stage", "filter")

    found = account(Dataset.open(str(tmp_path / "set")))
    assert found.balanced
    # kept: 4 of the folder, 3 of the json, 4 of the tar, 3 of the Parquet file, 2 of the list.
    # quarantined: broken.png, notes.pdf, a sample and a row without image, bad bytes, a listed file that is not there.
    assert {name: number for name, number in found.outcomes.items() if number} == {
        "kept": 16,
        "quarantined": 6,
        "duplicates": 2,
    }
    record = min((tmp_path / "set/runs").glob("*/run.json"))
    recorded = {Path(source["source"]).name: source for source in json.loads(record.read_text())["sources"]}
    assert {name: source.get("left_out", {}) for name, source in recorded.items()} == LEFT_OUT
    assert {name: source["inputs"] for name, source in recorded.items()} == INPUTS
    for text in (printed, engine_output("status", "-d", str(tmp_path / "set"))):
        for name, reasons in LEFT_OUT.items():
            for reason, number in reasons.items():
                assert re.search(rf"/{name}': {INPUTS[name]} inputs; left out: .*\b{number} x {reason}", text), reason
    output_options = ("-d", str(tmp_path / "set"), "--format", "json")
    regions = engine_output(
        "query", "SELECT label, rle <> '' AS mask FROM regions WHERE producer = 'human' ORDER BY mask", *output_options
    )
    assert json.loads(regions) == [{"label": "cat", "mask": mask} for mask in (False, False, True)]
    texts = engine_output("query", "SELECT text FROM texts ORDER BY text", *output_options)
    assert [row["text"] for row in json.loads(texts)] == ["A text.", "A text.", "A text.", "One."]


def test_labels_that_no_node_uses_are_noted(tmp_path: Path) -> None:
    data = recipe_data(tmp_path / "set", "", {}, ingest={"sources": draw(tmp_path)})
    path = str(write_recipe(tmp_path / "recipe.yaml", data))
    printed = engine_output("run", "-c", path, "--runner", "inline", "--stage", "ingest")
    assert "3 regions by people came with the images, but no node uses them: add 'human: {use: human}'." in printed
    assert "4 unchecked texts came with the images, but no node uses them: add 'alt:" in printed


def draw(root: Path) -> list[dict[str, Any]]:
    folder = photographs(root / "folder", 4)
    (root / "folder/broken.png").write_bytes(b"nothing")
    (root / "folder/notes.pdf.png").write_bytes(b"%PDF")
    (root / "folder/twice.jpg").write_bytes(folder[0].read_bytes())
    (root / "folder/.hidden.png").write_bytes(folder[1].read_bytes())
    (root / "folder/skip").mkdir()
    listed = photographs(root / "list", 2, size=30)
    lines = [str(listed[0]), f"file://{listed[1]}", str(listed[0]), str(root / "list/gone.png"), ""]
    (root / "list.txt").write_bytes(b"\xef\xbb\xbf" + "\r\n".join(lines).encode())
    return [
        {"folder": str(root / "folder"), "exclude": ["skip"]},
        {"coco": str(_coco(root, photographs(root / "coco", 3, size=50))), "images": str(root / "coco")},
        {"webdataset": str(_tar(root / "shard.tar", photographs(root / "tar", 4, size=40)))},
        {"parquet": str(_parquet(root / "rows.parquet", photographs(root / "rows", 3, size=36)))},
        {"uris": str(root / "list.txt")},
    ]


def _coco(root: Path, photos: list[Path]) -> Path:
    images = [{"id": at, "file_name": path.name, "width": 50 + at, "height": 50} for at, path in enumerate(photos)]
    annotations = [
        {"image_id": 0, "bbox": BOX, "segmentation": [[1, 1, 20, 1, 20, 20]]},
        {"image_id": 0, "bbox": BOX, "segmentation": [[1, 1, NAN, 1, 20, 20]]},
        {"image_id": 1, "bbox": BOX, "segmentation": {"size": [20, 20], "counts": [400]}, "iscrowd": "0"},
        {"image_id": 1, "bbox": [1, 1, 0, 20]},
        {"image_id": 77, "bbox": BOX},
        {"image_id": 2, "bbox": BOX, "category_id": 8},
    ]
    content = {
        "images": [*images, {**images[0], "id": 9}],
        "categories": [{"id": 7, "name": "cat"}],
        "annotations": [{"id": at, "category_id": 7, **item} for at, item in enumerate(annotations)],
    }
    (root / "instances.json").write_text(json.dumps(content))
    return root / "instances.json"


def _tar(path: Path, photos: list[Path]) -> Path:
    members = [(photo.name, photo.read_bytes()) for photo in photos]
    texts = [(f"{photo.stem}.txt", b"A text.") for photo in photos[:3]] + [(f"{photos[3].stem}.txt", b"\xff\xff")]
    both = [member for pair in zip(members, texts, strict=True) for member in pair]
    more = [("00001.cls", b"7"), ("other/00001.png", members[1][1]), (".DS_Store", b"x"), ("alone.txt", b"")]
    with tarfile.open(path, "w") as tar:
        for name, content in [*both[:4], more[0], *both[4:], *more[1:]]:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def _parquet(path: Path, photos: list[Path]) -> Path:
    images = [{"bytes": photo.read_bytes(), "path": photo.name} for photo in photos]
    rows = {"image": [*images, None, {"bytes": b"bad", "path": "bad.png"}], "caption": ["One.", "", None, None, None]}
    pq.write_table(pa.table(rows), path)
    return path
