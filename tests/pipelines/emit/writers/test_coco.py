"""coco/: the json of instances, captions and results."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.builders import region
from tests.pipelines.emit.boxes_release import LABELS, boxes_release
from tests.pipelines.emit.small_release import annotated, drawn, write


def content(boxes: Path, kind: str, split: str = "train") -> Any:
    return json.loads((boxes / "coco" / f"{kind}_{split}.json").read_text())


def annotations_of(boxes: Path, number: int) -> list[dict[str, Any]]:
    """The annotations of an image of split train, by its position."""
    return [one for one in content(boxes, "instances")["annotations"] if one["image_id"] == number]


def test_every_image_has_an_entry_with_its_upright_size(boxes: Path) -> None:
    sizes = [(image["width"], image["height"]) for image in content(boxes, "instances")["images"]]
    assert sizes == [(40, 60), (60, 40), (4000, 50), (100, 100), (60, 40), (60, 40), (9, 30)]


def test_images_lie_in_the_folder_of_their_split_under_their_file_name(boxes: Path) -> None:
    for split in ("train", "valid"):
        names = [image["file_name"] for image in content(boxes, "instances", split)["images"]]
        assert sorted(names) == sorted(
            path.name for path in (boxes / "images" / split).iterdir() if path.suffix != ".jsonl"
        )


def test_ids_count_from_one_and_are_unique(boxes: Path) -> None:
    for kind in ("instances", "captions"):
        ids = [one["id"] for one in content(boxes, kind)["annotations"]]
        assert ids == list(range(1, len(ids) + 1))


def test_categories_are_those_of_the_label_list_in_every_split(boxes: Path) -> None:
    for split in ("train", "valid"):
        categories = content(boxes, "instances", split)["categories"]
        assert [(one["id"], one["name"]) for one in categories] == list(enumerate(LABELS, 1))


def test_without_a_label_list_the_categories_are_the_labels_of_all_splits_sorted(tmp_path: Path) -> None:
    shards = [[annotated(drawn("PNG", n), regions=[region(label=label)])] for n, label in enumerate(("dog", "Äpfel"))]
    write(tmp_path / "v1", *shards, recipe={"emit": {"formats": ["coco"]}}, splits=["train", "test"])
    for split in ("train", "test"):
        names = [one["name"] for one in content(tmp_path / "v1", "instances", split)["categories"]]
        assert names == ["dog", "Äpfel"]


def test_a_mask_is_compressed_run_lengths_and_gives_the_area(boxes: Path) -> None:
    first, second, quad, crowd, box = annotations_of(boxes, 2)
    assert (first["area"], second["area"], crowd["area"], box["area"]) == (100.0, 270.0, 665.0, 5.0)
    assert first["segmentation"]["size"] == [40, 60]
    assert isinstance(first["segmentation"]["counts"], str)
    assert box["segmentation"] == []
    assert quad["segmentation"] == [[50.0, 20.0, 60.0, 30.0, 55.0, 40.0, 45.0, 35.0]]


def test_a_crowd_is_marked_and_is_no_result(boxes: Path) -> None:
    assert [one["iscrowd"] for one in annotations_of(boxes, 2)] == [0, 0, 0, 1, 0]
    results = [one for one in content(boxes, "results") if one["image_id"] == 2]
    assert len(results) == 4


def test_boxes_at_the_edge_keep_their_corners(boxes: Path) -> None:
    boxes = [one["bbox"] for one in annotations_of(boxes, 3)]
    assert boxes[0] == [3990, 40, 10, 10]
    assert boxes[1] == [3999, 49, 1, 1]
    assert boxes[2] == pytest.approx([1234.5678, 7.25, 0.0322, 0.25], abs=2e-4)
    assert boxes[3] == [0, 0, 4000, 50]


def test_results_have_the_scores_of_objects_that_a_model_found(boxes: Path) -> None:
    objects = content(boxes, "instances")["annotations"]
    human = 2 + 1 + 1  # of the image of 4,000 pixels, of the gif, the crowd
    results = content(boxes, "results")
    assert len(results) == len(objects) - human
    assert {one["score"] for one in results} == {0.9}
    assert set(results[0]) == {"image_id", "category_id", "bbox", "score", "segmentation"}


def test_captions_keep_quotes_and_line_feeds(boxes: Path) -> None:
    captions = [one["caption"] for one in content(boxes, "captions")["annotations"]]
    assert captions[:2] == ['A "cat" \\ 猫\nand more', "Zwei"]


def test_files_without_rows_are_not_written(tmp_path: Path) -> None:
    write(tmp_path / "v1", [annotated(drawn())], recipe={"emit": {"formats": ["coco"]}})
    assert [path.name for path in (tmp_path / "v1/coco").iterdir()] == ["instances_train.json"]


def test_the_manifest_counts_rows_and_what_is_left_out(boxes: Path) -> None:
    manifest = json.loads((boxes / "manifest.json").read_text())
    rows = {file["name"]: file["rows"] for file in manifest["files"] if file["name"].endswith("_train.json")}
    assert rows == {
        "coco/instances_train.json": 7,
        "coco/captions_train.json": 4,
        "coco/results_train.json": len(content(boxes, "results")),
    }
    assert manifest["formats"]["coco"]["left_out"] == {"no_area": 1, "not_listed": 1}
    objects = sum(len(content(boxes, "instances", split)["annotations"]) for split in ("train", "valid"))
    assert objects + 2 == manifest["counts"]["regions"]


def test_the_licence_of_an_image_is_in_the_list_of_licences(tmp_path: Path) -> None:
    from pipelines.emit.writers.coco import merge_coco
    from tests.pipelines.emit.merges import ListedMerge

    line = '{"file_name":"a.png","width":1,"height":1,"licence":"%s","objects":[],"captions":[]}'
    merge = ListedMerge({"train": [(line % name).encode() for name in ("cc-by-4.0", "", "mit", "cc-by-4.0")]})
    merge_coco(merge)
    found = json.loads(merge.written["coco/instances_train.json"])
    assert [image.get("license") for image in found["images"]] == [1, None, 2, 1]
    assert [one["name"] for one in found["licenses"]] == ["cc-by-4.0", "mit"]


def test_a_release_is_the_same_bytes_again(tmp_path: Path, boxes: Path) -> None:
    again = boxes_release(tmp_path / "v1")
    for path in sorted(boxes.rglob("*")):
        if path.is_file():
            assert path.read_bytes() == (again / path.relative_to(boxes)).read_bytes(), path
