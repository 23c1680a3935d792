"""The files of odvg/, line by line: what a reader of ODVG gets for hand-made annotations."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from engine.images.decode import image_id
from tests.builders import phrase, region, text
from tests.pipelines.emit.small_release import Item, annotated, drawn, write

PHOTO = drawn()
NAME = f"train/{image_id(PHOTO)}.jpg"


def released(folder: Path, *items: Item, **emit: Any) -> Path:
    return write(folder / "v1", items, recipe={"emit": {"formats": ["odvg"], **emit}})


def lines(release: Path, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (release / "odvg" / name).read_text(encoding="utf-8").splitlines()]


def one_image(folder: Path, **columns: Any) -> tuple[list[Any], list[Any], dict[str, int]]:
    """The instances, the grounded texts and what was left out, of a release of one image of 60 x 40."""
    release = released(folder, annotated(PHOTO, **columns))
    (detection,) = lines(release, "detection_train.jsonl")
    there = (release / "odvg/grounding_train.jsonl").exists()
    groundings = [line["grounding"] for line in lines(release, "grounding_train.jsonl")] if there else []
    left_out = json.loads((release / "manifest.json").read_text())["formats"]["odvg"]["left_out"]
    return detection["detection"]["instances"], groundings, left_out


def test_boxes_are_corners_in_pixels_with_the_number_of_their_label(tmp_path: Path) -> None:
    release = released(
        tmp_path,
        annotated(PHOTO, regions=[region((1, 2, 30.1, 38)), region((50, 0, 60, 1), label="Kätzchen 😺")]),
    )
    assert (release / "odvg/detection_train.jsonl").read_text(encoding="utf-8") == (
        f'{{"filename":"{NAME}","height":40,"width":60,"detection":{{"instances":['
        '{"bbox":[1.0,2.0,30.1,38.0],"label":1,"category":"cat"},'
        '{"bbox":[50.0,0.0,60.0,1.0],"label":0,"category":"Kätzchen 😺"}]}}\n'
    )
    assert json.loads((release / "odvg/label_map.json").read_bytes()) == {"0": "Kätzchen 😺", "1": "cat"}
    assert (release / "images" / NAME).read_bytes() == PHOTO


def test_a_phrase_with_two_regions_is_two_entries_with_the_same_span(tmp_path: Path) -> None:
    regions = [region((0, 0, 10, 10), id="m/1"), region((20, 5, 60, 40), id="m/2")]
    _, groundings, left_out = one_image(
        tmp_path, texts=[text("Two cats.", id="m/0")], regions=regions, phrases=[phrase("m/0", 0, 8, ["m/2", "m/1"])]
    )
    assert groundings == [
        {
            "caption": "Two cats.",
            "regions": [
                {"bbox": [20.0, 5.0, 60.0, 40.0], "phrase": "Two cats", "tokens_positive": [[0, 8]]},
                {"bbox": [0.0, 0.0, 10.0, 10.0], "phrase": "Two cats", "tokens_positive": [[0, 8]]},
            ],
        }
    ]
    assert left_out == {}


def test_spans_count_code_points_of_the_caption_without_white_space_around_it(tmp_path: Path) -> None:
    words = " 👩‍👩‍👧 und Kätzchen\n"
    start = words.index("Kätzchen")
    _, (grounding,), _ = one_image(
        tmp_path,
        texts=[text(words, id="m/0")],
        regions=[region((0, 0, 10, 10), id="m/1")],
        phrases=[phrase("m/0", start, start + 8, ["m/1"])],
    )
    (((begin, end),),) = [one["tokens_positive"] for one in grounding["regions"]]
    assert (begin, end, grounding["caption"][begin:end]) == (10, 18, "Kätzchen")


def test_two_texts_of_an_image_are_two_lines(tmp_path: Path) -> None:
    _, groundings, _ = one_image(
        tmp_path,
        texts=[text("A cat.", id="m/0"), text("Nothing.", id="m/1"), text("One cat.", id="m/2")],
        regions=[region((0, 0, 10, 10), id="m/3")],
        phrases=[phrase("m/2", 0, 7, ["m/3"]), phrase("m/0", 0, 5, ["m/3"])],
    )
    assert [one["caption"] for one in groundings] == ["A cat.", "One cat."]


@pytest.mark.parametrize(
    ("reason", "box"),
    [
        ("under_one_pixel", (3, 3, 3.9, 30)),
        ("under_one_pixel", (3, 39.5, 30, 44)),
        ("no_area", (60, 3, 70, 30)),
        ("outside_image", (80, 3, 90, 30)),
    ],
)
def test_a_box_that_mmdetection_would_ignore_is_left_out_of_both_files(
    tmp_path: Path, reason: str, box: tuple[float, ...]
) -> None:
    instances, groundings, left_out = one_image(
        tmp_path,
        texts=[text("A cat.", id="m/0")],
        regions=[region(box, id="m/1")],
        phrases=[phrase("m/0", 0, 5, ["m/1"])],
    )
    assert (instances, groundings, left_out) == ([], [], {reason: 1, f"phrase_{reason}": 1})


def test_a_box_of_one_pixel_and_one_at_the_border_stay(tmp_path: Path) -> None:
    instances, _, left_out = one_image(tmp_path, regions=[region((59, 39, 60, 40)), region((0, 0, 60, 40))])
    assert [one["bbox"] for one in instances] == [[59.0, 39.0, 60.0, 40.0], [0.0, 0.0, 60.0, 40.0]]
    assert left_out == {}


def test_a_phrase_that_lower_case_would_move_is_left_out(tmp_path: Path) -> None:
    words = "A dog in İzmir with a cat."
    _, (grounding,), left_out = one_image(
        tmp_path,
        texts=[text(words, id="m/0")],
        regions=[region((0, 0, 10, 10), id="m/1")],
        phrases=[phrase("m/0", 0, 5, ["m/1"]), phrase("m/0", 20, 25, ["m/1"])],
    )
    assert [one["phrase"] for one in grounding["regions"]] == ["A dog"]
    assert left_out == {"phrase_lower_case": 1}


def test_a_crowd_is_no_object_but_a_phrase_names_it(tmp_path: Path) -> None:
    instances, (grounding,), left_out = one_image(
        tmp_path,
        texts=[text("Many people.", id="m/0")],
        regions=[region((0, 0, 60, 20), id="m/1", label="person", score=None, score_kind="crowd")],
        phrases=[phrase("m/0", 0, 11, ["m/1"])],
    )
    assert (instances, [one["bbox"] for one in grounding["regions"]]) == ([], [[0.0, 0.0, 60.0, 20.0]])
    assert left_out == {"crowd": 1}


def test_a_phrase_without_regions_is_counted(tmp_path: Path) -> None:
    _, groundings, left_out = one_image(tmp_path, texts=[text("A cat.", id="m/0")], phrases=[phrase("m/0", 0, 5, [])])
    assert (groundings, left_out) == ([], {"phrase_without_region": 1})


def test_a_label_list_gives_the_numbers_and_leaves_out_other_labels(tmp_path: Path) -> None:
    item = annotated(PHOTO, regions=[region(), region(label="dog"), region(label="bus")])
    release = released(tmp_path, item, label_list=["tram", "dog", "cat"])
    instances = lines(release, "detection_train.jsonl")[0]["detection"]["instances"]
    assert [(one["label"], one["category"]) for one in instances] == [(2, "cat"), (1, "dog")]
    assert json.loads((release / "odvg/label_map.json").read_bytes()) == {"0": "tram", "1": "dog", "2": "cat"}
    manifest = json.loads((release / "manifest.json").read_text())
    assert manifest["formats"]["odvg"] == {"left_out": {"not_listed": 1}}
    assert {file["name"]: file["rows"] for file in manifest["files"] if file["name"].startswith("odvg/")} == {
        "odvg/label_map.json": 3,
        "odvg/detection_train.jsonl": 1,
    }
