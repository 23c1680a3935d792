"""A COCO json as people's tools write it: what is taken, and what is left out and told."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine import masks
from engine.errors import ConfigError
from engine.schema import Answer
from pipelines.coco_json import CocoJson
from pipelines.sources import Entry, open_source
from tests.shared_data import shared


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
