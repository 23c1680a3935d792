"""swift/<split>.jsonl: what a release holds for ms-swift."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pipelines.emit.chat.frames import Frame
from pipelines.emit.chat.questions import ASKED, Named, Question
from pipelines.emit.writers.swift import swift_turn
from tests.builders import region, text
from tests.pipelines.emit.chat.releases import RECIPE, lines, photo
from tests.pipelines.emit.small_release import annotated, drawn, mixed, write

FRAME = Frame(60, 40)
CAT, DOG = (1.0, 2.0, 30.5, 38.0), (0.0, 0.0, 60.0, 40.0)


def test_placeholders_are_as_many_as_values_for_every_task(tmp_path: Path) -> None:
    rows = lines(write(tmp_path / "v1", [photo(1)], recipe=RECIPE), "swift")
    assert len(rows) > len(ASKED)
    for row in rows:
        both = "".join(message["content"] for message in row["messages"])
        assert both.count("<image>") == len(row["images"])
        assert both.count("<ref-object>") == len(row["objects"]["ref"])
        assert both.count("<bbox>") == len(row["objects"]["bbox"])


def test_one_name_is_asked_for_by_a_placeholder_and_answered_with_all_its_boxes() -> None:
    turn = swift_turn(
        Question("<OPEN_VOCABULARY_DETECTION>", "cat", boxes=[Named("cat", CAT), Named("cat", DOG)]), FRAME
    )
    assert (turn.user, turn.assistant) == ("Find this in the image: <ref-object>", "<bbox><bbox>")
    assert turn.objects == {"ref": ["cat"], "bbox": [list(CAT), list(DOG)]}


def test_all_objects_are_answered_with_a_line_each() -> None:
    turn = swift_turn(Question("<OD>", boxes=[Named("cat", CAT), Named("dog", DOG)]), FRAME)
    assert turn.assistant == "<ref-object><bbox>\n<ref-object><bbox>"
    assert turn.objects == {"ref": ["cat", "dog"], "bbox": [list(CAT), list(DOG)]}


def test_a_region_is_described_by_a_box_in_the_question() -> None:
    turn = swift_turn(Question("<REGION_TO_DESCRIPTION>", box=CAT, text="a red cat"), FRAME)
    assert (turn.user, turn.assistant) == ("Describe what is in this box: <bbox>", "a red cat")
    assert turn.objects == {"ref": [], "bbox": [list(CAT)]}


def test_a_line_has_the_keys_of_ms_swift_and_a_path_from_its_own_folder(tmp_path: Path) -> None:
    folder = write(tmp_path / "v1", mixed(), recipe=RECIPE)
    for row in lines(folder, "swift"):
        assert list(row) == ["messages", "images", "objects"]
        (image,) = row["images"]
        assert (folder / "swift" / image).resolve().is_file()


def test_boxes_of_a_rotated_photo_are_those_of_the_stored_pixels(tmp_path: Path) -> None:
    data = drawn("JPEG", 5, orientation=6)  # stored 60 x 40, upright 40 x 60
    folder = write(tmp_path / "v1", [annotated(data, regions=[region((0, 0, 10, 20))])], recipe=RECIPE)
    boxes = [box for row in lines(folder, "swift") for box in row["objects"]["bbox"]]
    assert boxes == [[0.0, 30.0, 20.0, 40.0]] * 2


def test_every_number_of_a_box_has_a_decimal_point(tmp_path: Path) -> None:
    """Otherwise `datasets` takes whole numbers in the first lines as the type, and refuses others later."""
    folder = write(tmp_path / "v1", [annotated(drawn(), regions=[region((0, 0, 60, 40))])], recipe=RECIPE)
    numbers: list[Any] = [value for row in lines(folder, "swift") for box in row["objects"]["bbox"] for value in box]
    assert {type(value) for value in numbers} == {float}


def test_each_split_has_its_file_and_a_split_without_questions_has_none(tmp_path: Path) -> None:
    shards = [[photo(1)], [annotated(drawn("PNG", 2))], [photo(3)]]
    folder = write(tmp_path / "v1", *shards, recipe=RECIPE, splits=["train", "valid", "test"])
    assert sorted(path.name for path in (folder / "swift").iterdir()) == ["test.jsonl", "train.jsonl"]
    listed = {file["name"]: file["rows"] for file in json.loads((folder / "manifest.json").read_text())["files"]}
    assert listed["swift/test.jsonl"] == len(lines(folder, "swift", "test"))


def test_what_is_left_out_is_counted_in_the_manifest(tmp_path: Path) -> None:
    image = annotated(drawn(), texts=[text("A <bbox>."), text("A cat.", id="m/1")])
    folder = write(tmp_path / "v1", [image], recipe=RECIPE)
    formats = json.loads((folder / "manifest.json").read_text())["formats"]
    assert {formats[name]["left_out"]["reserved_token"] for name in RECIPE["emit"]["formats"]} == {1}
