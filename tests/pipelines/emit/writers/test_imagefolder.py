"""images/<split>/metadata.jsonl."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pipelines.emit.writers.imagefolder import merge_imagefolder
from tests.pipelines.emit.boxes_release import LABELS
from tests.pipelines.emit.merges import ListedMerge


def lines(boxes: Path, split: str = "train") -> list[dict[str, Any]]:
    return [json.loads(line) for line in (boxes / f"images/{split}/metadata.jsonl").read_text().split("\n")[:-1]]


def test_every_image_of_the_folder_has_a_line(boxes: Path) -> None:
    for split in ("train", "valid"):
        names = {path.name for path in (boxes / "images" / split).iterdir() if path.suffix != ".jsonl"}
        found = [line["file_name"] for line in lines(boxes, split)]
        assert (len(found), set(found)) == (len(names), names)


def test_lists_of_objects_have_one_entry_for_each_object(boxes: Path) -> None:
    for line in lines(boxes):
        assert len({len(values) for values in line["objects"].values()}) == 1


def test_boxes_are_pixels_of_the_upright_image(boxes: Path) -> None:
    wide = next(line for line in lines(boxes) if line["width"] == 4000)
    assert wide["objects"]["bbox"][0] == [3990.0, 40.0, 10.0, 10.0]
    assert wide["objects"]["bbox"][3] == [0.0, 0.0, 4000.0, 50.0]
    assert {type(value) for bbox in wide["objects"]["bbox"] for value in bbox} == {float}


def test_categories_are_labels_also_those_that_are_not_in_the_label_list(boxes: Path) -> None:
    found = next(line["objects"]["categories"] for line in lines(boxes) if "unlisted" in line["objects"]["categories"])
    assert found == [*LABELS, "unlisted"]


def test_an_object_that_people_marked_has_score_one_and_is_marked(boxes: Path) -> None:
    wide = next(line["objects"] for line in lines(boxes) if line["width"] == 4000)
    assert wide["scores"] == [0.9, 1.0, 0.9, 1.0, 0.9]
    assert wide["human"] == [False, True, False, True, False]


def test_captions_and_their_granularities_have_the_same_order(boxes: Path) -> None:
    found = next(line for line in lines(boxes) if "Zwei" in line["captions"])
    assert (found["captions"][0], found["granularities"]) == ('A "cat" \\ 猫\nand more', ["brief", "detailed"])


def part(name: str, *, objects: int = 0, captions: int = 0) -> bytes:
    line = {"file_name": name, "objects": {"bbox": [[0.0] * 4] * objects}, "captions": ["a"] * captions}
    return json.dumps(line).encode()


def test_the_first_lines_have_values_in_all_lists(tmp_path: Path) -> None:
    parts = [part("1"), part("2"), part("3", captions=1), part("4"), part("5", objects=1), part("6", objects=2)]
    merge = ListedMerge({"train": parts, "test": parts[:2]})
    merge_imagefolder(merge)
    order = {
        split: [json.loads(line)["file_name"] for line in merge.written[f"images/{split}/metadata.jsonl"].splitlines()]
        for split in merge.splits
    }
    assert order == {"train": ["3", "5", "1", "2", "4", "6"], "test": ["1", "2"]}
    assert merge.rows == {"images/train/metadata.jsonl": 6, "images/test/metadata.jsonl": 2}


def test_the_manifest_counts_what_is_left_out(boxes: Path) -> None:
    manifest = json.loads((boxes / "manifest.json").read_text())
    assert manifest["formats"]["imagefolder"]["left_out"] == {"crowd": 1, "no_area": 1}
