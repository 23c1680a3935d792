"""What `engine verify` finds in coco/: each test damages one thing, and the digests in the manifest agree with it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipelines.emit.verifiers.coco import CocoVerifier
from tests.pipelines.emit.boxes_release import change_manifest, change_rows, checked, copied

Change = Callable[[dict[str, Any]], object]


def faults(folder: Path) -> list[str]:
    return checked(folder, CocoVerifier).faults


def changed(boxes: Path, tmp_path: Path, change: Change, kind: str = "instances") -> list[str]:
    """The faults after a change of the content of one file of split train."""
    folder = copied(boxes, tmp_path)
    path = folder / "coco" / f"{kind}_train.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    return faults(folder)


def test_a_release_without_damage_has_no_faults(boxes: Path) -> None:
    check = checked(boxes, CocoVerifier)
    assert (check.faults, check.detail[:22]) == ([], "8 images, 2021 objects")


def test_supervision_reads_every_image(boxes: Path) -> None:
    pytest.importorskip("supervision")
    check = checked(boxes, CocoVerifier)
    assert (check.ok, check.skipped, check.detail[-29:]) == (True, [], "; supervision reads 8 of them")


def test_without_supervision_the_check_is_skipped_by_name(boxes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.emit.verifiers.supervision.missing", lambda names: names)
    check = checked(boxes, CocoVerifier)
    assert check.ok
    assert [sentence.partition(":")[0] for sentence in check.skipped] == ["supervision is not installed"]


@pytest.mark.parametrize("kind", ["instances", "captions", "results"])
def test_a_truncated_file_is_reported(boxes: Path, tmp_path: Path, kind: str) -> None:
    folder = copied(boxes, tmp_path)
    path = folder / "coco" / f"{kind}_train.json"
    path.write_bytes(path.read_bytes()[:-200])
    (sentence,) = faults(folder)
    assert sentence.startswith("coco, split train: JSONDecodeError")


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        ("instances", "coco, split train: FileNotFoundError"),
        ("captions", "has other captions than its record"),
        ("results", "has 0 objects, its record has 4, in results_train.json"),
    ],
)
def test_a_missing_file_is_reported(boxes: Path, tmp_path: Path, kind: str, sentence: str) -> None:
    folder = copied(boxes, tmp_path)
    (folder / "coco" / f"{kind}_train.json").unlink()
    assert sentence in faults(folder)[0]


def test_a_missing_image_is_reported(boxes: Path, tmp_path: Path) -> None:
    folder = copied(boxes, tmp_path)
    image = next((folder / "images/valid").glob("*.jpg"))
    image.unlink()
    (sentence,) = faults(folder)
    assert sentence == f"coco, split valid: {image.stem} has no file images/valid/{image.name}"


def box(change: Callable[[list[float], dict[str, Any]], list[float]]) -> Change:
    """A change of every box, given the box and its image."""

    def convert(content: dict[str, Any]) -> None:
        images = {image["id"]: image for image in content["images"]}
        for one in content["annotations"]:
            one["bbox"] = change(one["bbox"], images[one["image_id"]])

    return convert


CONVENTIONS = {
    "corners": box(lambda b, _: [b[0], b[1], b[0] + b[2], b[1] + b[3]]),
    "shares": box(lambda b, i: [b[0] / i["width"], b[1] / i["height"], b[2] / i["width"], b[3] / i["height"]]),
    "centres": box(lambda b, _: [b[0] + b[2] / 2, b[1] + b[3] / 2, b[2], b[3]]),
    "y before x": box(lambda b, _: [b[1], b[0], b[3], b[2]]),
    "whole pixels": box(lambda b, _: [float(round(value)) for value in b]),
}


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_boxes_in_another_convention_are_reported(boxes: Path, tmp_path: Path, convention: str) -> None:
    sentences = changed(boxes, tmp_path, CONVENTIONS[convention])
    assert " has the box [" in sentences[0]


def first(content: dict[str, Any], key: str, value: Any, *, list_name: str = "annotations") -> None:
    content[list_name][0][key] = value


CHANGES: dict[str, tuple[Change, str]] = {
    "another value": (lambda c: first(c, "bbox", [2.0, 3.0, 10.001, 10.0]), "has the box [2, 3, 12.001, 13] for m/1"),
    "another category": (lambda c: first(c, "category_id", 3), "has the label 'yes' for m/1, its record has 'cat'"),
    "no such category": (lambda c: first(c, "category_id", 99), "has the label 'category 99' for m/1"),
    "another area": (lambda c: first(c, "area", 101.0), "has the area 101 for m/1, expected 100"),
    "another mask": (lambda c: first(c, "segmentation", []), "has another mask for m/1"),
    "a crowd": (lambda c: first(c, "iscrowd", 1), "has iscrowd 1 for m/1, its record has 0"),
    "a lost object": (lambda c: c["annotations"].pop(), "has 0 objects, its record has 1"),
    "a lost image": (lambda c: c["images"].pop(0), "is not in instances_train.json"),
    "another size": (lambda c: first(c, "width", 60, list_name="images"), "is 60x60, its record has 40x60"),
    "an image twice": (lambda c: c["images"].append(c["images"][1]), "has the image id 2 2 times"),
    "a name twice": (lambda c: c["images"].append(c["images"][1] | {"id": 99}), "has the file name"),
    "an object twice": (lambda c: c["annotations"].append(c["annotations"][0]), "has the annotation id 1 2 times"),
    "an unknown image": (
        lambda c: c["images"].append(c["images"][1] | {"id": 99, "file_name": "x.png"}),
        "instances_train.json has x.png, no record has",
    ),
    "an object of no image": (
        lambda c: c["annotations"].append(c["annotations"][0] | {"id": 9999, "image_id": 99}),
        "has 1 annotations of images that it does not have",
    ),
    "other categories": (lambda c: c["categories"].append({"id": 99, "name": "new"}), "has other categories than emit"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_changed_instances_are_reported(boxes: Path, tmp_path: Path, change: str) -> None:
    make, sentence = CHANGES[change]
    found = changed(boxes, tmp_path, make)
    assert any(sentence in one for one in found), found


def test_a_changed_caption_or_id_in_captions_is_reported(boxes: Path, tmp_path: Path) -> None:
    def words(content: dict[str, Any]) -> None:
        first(content, "caption", "A dog")

    def other(content: dict[str, Any]) -> None:
        content["images"][4]["file_name"] = "x.png"

    (sentence,) = changed(boxes, tmp_path / "1", words, "captions")
    assert sentence.endswith("has other captions than its record")
    sentence, shared = changed(boxes, tmp_path / "2", other, "captions")
    assert sentence.endswith("captions_train.json has another image with the id 5")
    assert shared == "coco/captions_train.json has other images or licences than instances_train.json"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda rows: rows[0].update(score=0.8), "has the score 0.8 for m/1, its record has 0.9"),
        (lambda rows: rows[0].update(bbox=[1, 1, 2, 2]), "has the box [1, 1, 3, 3] for m/1"),
        (lambda rows: rows.append(rows[-1]), "has 2 objects, its record has 1, in results_train.json"),
        (lambda rows: rows[0].update(image_id=77), "AssertionError: Results do not correspond to current coco set"),
    ],
)
def test_changed_results_are_reported(boxes: Path, tmp_path: Path, change: Change, sentence: str) -> None:
    found = changed(boxes, tmp_path, change, "results")
    assert any(sentence in one for one in found), found


@pytest.mark.parametrize("kind", ["instances", "captions"])
def test_other_keys_or_another_description_are_reported(boxes: Path, tmp_path: Path, kind: str) -> None:
    (sentence,) = changed(boxes, tmp_path / "1", lambda content: content.update(info={"description": "v2"}), kind)
    assert sentence == f"coco/{kind}_train.json is not described as v1"
    sentences = changed(boxes, tmp_path / "2", lambda content: content.update(extra=1), kind)
    assert sentences[0].startswith(f"coco/{kind}_train.json has the keys info, ")


def test_another_licence_is_reported(boxes: Path, tmp_path: Path) -> None:
    def licensed(content: dict[str, Any]) -> None:
        content["licenses"].append({"id": 1, "name": "mit", "url": ""})
        first(content, "license", 1, list_name="images")

    sentences = changed(boxes, tmp_path, licensed)
    assert sentences[0].endswith("has the licence 'mit', its record has ''")


def test_a_flipped_byte_is_reported_wherever_it_changes_a_value(boxes: Path, tmp_path: Path) -> None:
    folder = copied(boxes, tmp_path)
    path = folder / "coco/instances_valid.json"
    whole = path.read_bytes()
    for place in (whole.index(b"29.5"), whole.index(b"1062"), whole.index(b'"width"') + 8, whole.index(b".jpg")):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        assert faults(folder), place


@pytest.mark.parametrize("kind", ["instances", "captions", "results"])
def test_wrong_rows_in_the_manifest_are_reported(boxes: Path, tmp_path: Path, kind: str) -> None:
    folder = copied(boxes, tmp_path)
    change_rows(folder, f"coco/{kind}_valid.json", by=1)
    (sentence,) = faults(folder)
    assert sentence.startswith(f"coco/{kind}_valid.json has ")


def test_a_file_that_the_manifest_does_not_list_is_reported(boxes: Path, tmp_path: Path) -> None:
    folder = copied(boxes, tmp_path)
    files = json.loads((folder / "manifest.json").read_text())["files"]
    change_manifest(folder, "files", value=[one for one in files if one["name"] != "coco/captions_train.json"])
    assert faults(folder) == ["coco/captions_train.json is not in the manifest"]


def test_wrong_numbers_of_left_out_annotations_are_reported(boxes: Path, tmp_path: Path) -> None:
    folder = copied(boxes, tmp_path)
    change_manifest(folder, "formats", "coco", "left_out", value={"no_area": 1, "crowd": 2})
    assert faults(folder) == [
        "0 annotations are not in coco because of crowd, the manifest has 2",
        "1 annotations are not in coco because of not_listed, the manifest has 0",
    ]
