from __future__ import annotations

import json
import os
from itertools import pairwise
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest

from engine import masks
from engine.errors import ConfigError, ImageError
from engine.images import Header, orient_array, orient_box
from engine.schema import ANNOTATIONS, INPUTS, Answer, Region, as_row
from engine.storage import read_source
from pipelines.coco_json import CocoJson
from pipelines.folder_source import Folder
from pipelines.sources import Entry, World, open_source, upright_labels
from tests.shared_data import shared


def tree(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(name.encode())
    return root


def coco(root: Path, annotations: list[dict[str, Any]], **image: Any) -> CocoJson:
    content = {
        "licenses": [{"id": 4, "name": "CC BY 2.0"}],
        "categories": [{"id": 7, "name": "cat"}],
        "images": [{"id": 1, "file_name": "a.jpg", "width": 12, "height": 8, "license": 4, **image}],
        "annotations": [{"id": n, "image_id": 1, "category_id": 7, **item} for n, item in enumerate(annotations)],
    }
    (root / "instances.json").write_text(json.dumps(content))
    return CocoJson(str(root / "instances.json"), str(root))


def only(source: CocoJson) -> Entry:
    (entry,) = source.entries()
    return entry


def row(region: Region, frame: str, width: int, height: int) -> dict[str, Any]:
    empty: dict[str, Any] = {name: [] for name in ANNOTATIONS}
    return {"frame": frame, "frame_width": width, "frame_height": height, **empty, "regions": [as_row(region)]}


# --- folders ------------------------------------------------------------------------------------


def test_a_folder_gives_every_file_below_it_in_order(tmp_path: Path) -> None:
    tree(tmp_path, "b.jpg", "a/2.png", "a/1.txt", "no extension", "c/d/e.gif")
    names = [os.path.relpath(entry.uri, tmp_path) for entry in Folder(str(tmp_path)).entries()]
    assert names == ["a/1.txt", "a/2.png", "b.jpg", "c/d/e.gif", "no extension"]


def test_hidden_files_pipes_and_circles_are_left_out_and_broken_links_are_not(tmp_path: Path) -> None:
    tree(tmp_path, "a.jpg", ".hidden", ".git/x.jpg", "sub/b.jpg")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "sub" / "circle").symlink_to(tmp_path)
    (tmp_path / "broken").symlink_to(tmp_path / "nowhere")
    (tmp_path / "link.jpg").symlink_to(tmp_path / "a.jpg")
    found = {os.path.relpath(entry.uri, tmp_path): entry.fingerprint for entry in Folder(str(tmp_path)).entries()}
    assert sorted(found) == ["a.jpg", "broken", "link.jpg", "sub/b.jpg"]
    assert found["broken"] == ""


def test_a_file_that_changed_has_another_fingerprint(tmp_path: Path) -> None:
    tree(tmp_path, "a.jpg", "b.jpg")
    before = [entry.fingerprint for entry in Folder(str(tmp_path)).entries()]
    os.utime(tmp_path / "a.jpg", ns=(1, 1))
    after = [entry.fingerprint for entry in Folder(str(tmp_path)).entries()]
    assert before[0] != after[0]
    assert before[1] == after[1]


def test_a_folder_has_one_name_however_it_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree(tmp_path, "photos/a.jpg")
    monkeypatch.chdir(tmp_path)
    spellings = ("photos", "./photos/", f"file://{tmp_path}/photos", f"{tmp_path}/x/../photos")
    assert {open_source(spelling).name for spelling in spellings} == {str(tmp_path / "photos")}


def test_a_remote_folder_is_walked_the_same_way() -> None:
    store = fsspec.filesystem("memory")
    for name in ("b.jpg", "a/1.jpg", ".hidden", "a/.b/c.jpg"):
        store.pipe_file(f"/walked/{name}", name.encode())
    entries = list(Folder("memory://walked").entries())
    assert [entry.uri for entry in entries] == ["memory://walked/a/1.jpg", "memory://walked/b.jpg"] or [
        entry.uri for entry in entries
    ] == ["memory:///walked/a/1.jpg", "memory:///walked/b.jpg"]
    assert [read_source(entry.uri) for entry in entries] == [b"a/1.jpg", b"b.jpg"]
    assert all(entry.fingerprint for entry in entries)


def test_what_is_no_folder_is_told_in_a_sentence(tmp_path: Path) -> None:
    tree(tmp_path, "a.jpg")
    with pytest.raises(ConfigError, match="No folder"):
        list(Folder(str(tmp_path / "photso")).entries())
    with pytest.raises(ConfigError, match="is a file"):
        list(Folder(str(tmp_path / "a.jpg")).entries())
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.jpg")).write_bytes(b"")
    with pytest.raises(ConfigError, match="not UTF-8"):
        list(Folder(str(tmp_path)).entries())


# --- COCO ---------------------------------------------------------------------------------------


def test_boxes_become_corners_inside_the_image(tmp_path: Path) -> None:
    source = coco(tmp_path, [{"bbox": [2, 1, 7, 3]}, {"bbox": [-1, 6, 20, 9]}, {"bbox": [3, 3, 0, 4]}])
    entry = only(source)
    assert entry.labels is not None
    boxes = [(region.label, region.x1, region.y1, region.x2, region.y2) for region in entry.labels.regions]
    assert boxes == [("cat", 2, 1, 9, 4), ("cat", 0, 6, 12, 8)]
    assert all(region.score is None and region.producer == "human" for region in entry.labels.regions)
    assert source.left_out == {"a box without area": 1}


def test_masks_of_every_kind_become_run_lengths(tmp_path: Path) -> None:
    mask = np.zeros((8, 12), bool)
    mask[1:4, 2:9] = True
    flat, runs = mask.T.ravel(), []
    edges = [0, *(np.flatnonzero(flat[1:] != flat[:-1]) + 1).tolist(), flat.size]
    runs = [after - before for before, after in pairwise(edges)]
    forms = [
        [[2, 1, 9, 1, 9, 4, 2, 4]],
        {"counts": runs, "size": [8, 12]},
        {"counts": masks.encode(mask), "size": [8, 12]},
        {"counts": [3, 4], "size": [8, 12]},
    ]
    source = coco(
        tmp_path, [{"bbox": [2, 1, 7, 3], "segmentation": form, "iscrowd": n == 1} for n, form in enumerate(forms)]
    )
    regions = (only(source).labels or Answer()).regions
    assert all(np.array_equal(masks.decode(region.rle, width=12, height=8), mask) for region in regions[:3])
    assert (regions[3].rle, source.left_out["a mask that is not of its image"]) == ("", 1)
    assert [region.score_kind for region in regions] == ["", "crowd", "", ""]


def test_the_real_coco_photos_come_with_all_that_is_said_of_them() -> None:
    root = shared("coco/dev")
    spec = {"instances": f"{root}/instances.json", "images": f"{root}/images", "captions": f"{root}/captions.json"}
    entries = list(open_source({"coco": spec}).entries())
    labels = [entry.labels or Answer() for entry in entries]
    assert (len(entries), sum(len(item.regions) for item in labels), sum(len(item.texts) for item in labels)) == (
        90,
        881,
        330,
    )
    assert sum(region.score_kind == "crowd" for item in labels for region in item.regions) == 10
    assert all(region.rle for item in labels for region in item.regions)
    assert all(entry.fingerprint and entry.licence and Path(entry.uri).exists() for entry in entries)
    ids = [item.id for item in (*labels[1].regions, *labels[1].texts)]
    assert len(ids) == len(set(ids))


def test_an_image_that_is_not_on_disk_is_an_entry_all_the_same(tmp_path: Path) -> None:
    entry = only(coco(tmp_path, []))
    assert (entry.uri, entry.fingerprint, entry.licence) == (f"{tmp_path}/a.jpg", "", "CC BY 2.0")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "No file"),
        ("not json", "is not JSON"),
        ("[]", "has no list images and no list annotations and no list categories"),
        ('{"images": [], "annotations": [{"id": 1}], "categories": []}', "no image_id and no bbox and no category_id"),
        ('{"images": [{"id": 1}], "annotations": [], "categories": []}', "no file_name"),
        ('{"images": [{"id": 1, "file_name": "../x"}], "annotations": [], "categories": []}', "not below the folder"),
    ],
)
def test_what_is_no_coco_json_is_told_in_a_sentence(tmp_path: Path, content: str | None, sentence: str) -> None:
    if content is not None:
        (tmp_path / "i.json").write_text(content)
    with pytest.raises(ConfigError, match=sentence):
        list(CocoJson(str(tmp_path / "i.json"), str(tmp_path)).entries())


# --- frames -------------------------------------------------------------------------------------


@pytest.mark.parametrize("orientation", range(1, 9))
def test_stored_labels_turn_upright_with_their_masks(orientation: int) -> None:
    mask = np.zeros((8, 12), bool)
    mask[1:4, 2:9] = True
    width, height = (8, 12) if orientation >= 5 else (12, 8)
    header = Header("JPEG", width, height, orientation)
    labels = upright_labels(row(Region(2, 1, 9, 4, "cat", rle=masks.encode(mask)), "auto", 12, 8), header)
    (region,) = labels["regions"]
    assert (region["x1"], region["y1"], region["x2"], region["y2"]) == orient_box((2, 1, 9, 4), 12, 8, orientation)
    assert np.array_equal(masks.decode(region["rle"], width=width, height=height), orient_array(mask, orientation))


def test_labels_made_on_the_upright_image_stay() -> None:
    header = Header("JPEG", 8, 12, 6)
    for frame, size in (("auto", (8, 12)), ("upright", (8, 12)), ("upright", (0, 0)), ("auto", (0, 0))):
        (region,) = upright_labels(row(Region(1, 2, 3, 4), frame, *size), header)["regions"]
        assert (region["x1"], region["y1"], region["x2"], region["y2"]) == (1, 2, 3, 4)


def test_labels_of_another_size_are_refused() -> None:
    with pytest.raises(ImageError, match="100 x 100") as error:
        upright_labels(row(Region(1, 2, 3, 4), "auto", 100, 100), Header("JPEG", 8, 12, 6))
    assert error.value.reason == "labels_of_another_size"


# --- the world, and what a recipe says ------------------------------------------------------------


def test_a_world_is_read_through_its_uris() -> None:
    world = World("world://?images=3&seed=5")
    entries = list(world.entries())
    assert [read_source(entry.uri)[:4] for entry in entries] == [b"\x89PNG"] * 3
    assert len({entry.uri for entry in entries}) == 3
    assert all(entry.labels and entry.labels.texts for entry in entries)
    with pytest.raises(FileNotFoundError):
        read_source("world://?seed=5")


def test_a_world_that_grew_is_the_same_source() -> None:
    small, large = World("world://?images=2"), World("world://?images=4&seed=0")
    assert small.name == large.name
    assert [entry.uri for entry in large.entries()][:2] == [entry.uri for entry in small.entries()]


def test_labels_of_a_source_fit_the_listing() -> None:
    import pyarrow as pa

    (entry,) = World("world://?images=1").entries()
    labels = entry.labels or Answer()
    listed: dict[str, Any] = {field.name: 0 if pa.types.is_integer(field.type) else "" for field in INPUTS}
    listed |= {name: [as_row(item) for item in getattr(labels, name)] for name in ANNOTATIONS}
    assert pa.Table.from_pylist([listed], schema=INPUTS).num_rows == 1


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        ({"foldr": "x"}, "did you mean 'folder'"),
        ({"folder": "x", "world": "y"}, "one of folder:, coco:, webdataset:, parquet:, uris: or world:"),
        ({}, "found nothing"),
        ({"webdatset": "x"}, "did you mean 'webdataset'"),
        ({"parquet": {"path": "x", "colum": "y"}}, "Unknown option of the source 'parquet' 'colum'"),
        ({"parquet": {"path": "x", "captions": [3]}}, "expected a list of columns"),
        ({"uris": "x", "captions_by": "people"}, "Unknown captions_by 'people': known: human, web"),
        ({"coco": {"instances": "x"}}, "lacks images"),
        ({"coco": {"instances": "x", "imgs": "y"}}, "did you mean 'images'"),
        ({"folder": 3}, "expected a text"),
        ("world://?imges=3", "did you mean 'images'"),
        ("world://?images=many", "expected a whole number"),
        ("nosuchprotocol://x", "Cannot open the source"),
    ],
)
def test_a_wrong_source_is_told_in_a_sentence(spec: Any, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        open_source(spec)


def test_a_source_may_state_its_licence(tmp_path: Path) -> None:
    tree(tmp_path, "a.jpg")
    (entry,) = open_source({"folder": str(tmp_path), "licence": "CC0-1.0"}).entries()
    assert entry.licence == "CC0-1.0"
