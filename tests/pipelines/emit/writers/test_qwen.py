"""qwen3_vl/ and qwen2_5_vl/: what a release holds for Qwen-VL."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from engine.errors import ConfigError
from pipelines.emit.chat.frames import Frame
from pipelines.emit.writers.qwen2_5_vl import resized_pixels
from pipelines.emit.writers.qwen3_vl import thousandths
from pipelines.release_options import ResizeOptions
from tests.builders import region
from tests.pipelines.emit.chat.releases import RECIPE, lines, photo, sized
from tests.pipelines.emit.small_release import annotated, drawn, write


def boxes(folder: Path, name: str) -> list[Any]:
    """The boxes of the answer about all objects."""
    (answer,) = [
        row["messages"][1]["content"] for row in lines(folder, name) if "every object" in row["messages"][0]["content"]
    ]
    return [item["bbox_2d"] for item in json.loads(answer)]


def test_a_box_is_in_thousandths_or_in_pixels_of_the_resized_image(tmp_path: Path) -> None:
    image = annotated(sized(640, 427), regions=[region((64, 0, 640, 427))])
    folder = write(tmp_path / "v1", [image], recipe=RECIPE)
    assert boxes(folder, "qwen3_vl") == [[100, 0, 1000, 1000]]
    assert boxes(folder, "qwen2_5_vl") == [[64, 0, 644, 420]]


def test_the_largest_size_of_a_resized_image_is_an_option(tmp_path: Path) -> None:
    emit = {**RECIPE["emit"], "qwen2_5_vl": {"max_pixels": 28 * 28 * 100}}
    image = annotated(sized(640, 427), regions=[region((64, 0, 640, 427))])
    folder = write(tmp_path / "v1", [image], recipe={"emit": emit})
    assert boxes(folder, "qwen2_5_vl") == [[34, 0, 336, 224]]


def test_a_range_of_pixels_that_is_empty_is_refused() -> None:
    with pytest.raises(
        ConfigError, match=r"emit\.qwen2_5_vl\.max_pixels is 900, which is less than min_pixels, 3136\."
    ):
        ResizeOptions(max_pixels=900)


def test_boxes_of_large_images_come_back_within_half_a_unit() -> None:
    frame, options = Frame(4000, 3000), ResizeOptions(max_pixels=1_003_520)
    assert resized_pixels((0, 0, 4000, 3000), frame, options) == [0, 0, 1148, 840]
    x1, _, x2, _ = resized_pixels((1000.5, 5, 1234.5, 9), frame, options)
    assert abs(x1 * 4000 / 1148 - 1000.5) <= 0.5 * 4000 / 1148
    assert abs(x2 * 4000 / 1148 - 1234.5) <= 0.5 * 4000 / 1148
    assert thousandths((3999, 0, 4000, 3000), frame) == [999, 0, 1000, 1000]


def test_a_name_with_quotes_stays_valid_json(tmp_path: Path) -> None:
    label = 'a "big" cat\\dog, 猫'
    folder = write(tmp_path / "v1", [annotated(drawn(), regions=[region((0, 0, 9, 9), label=label)])], recipe=RECIPE)
    (row,) = [row for row in lines(folder, "qwen3_vl") if "Find this" in row["messages"][0]["content"]]
    assert json.loads(row["messages"][1]["content"]) == [{"bbox_2d": [0, 0, 150, 225], "label": label}]
    question = f"<image>Find this in the image: {label}\nAnswer in JSON, with bbox_2d and label."
    assert row["messages"][0]["content"] == question


def test_an_image_that_the_processor_refuses_is_left_out_and_counted(tmp_path: Path) -> None:
    long = annotated(sized(2010, 10), regions=[region((0, 0, 9, 9))])
    folder = write(tmp_path / "v1", [long], recipe=RECIPE)
    manifest = json.loads((folder / "manifest.json").read_text())
    assert len(lines(folder, "swift")) == 2
    assert not (folder / "qwen3_vl").exists()
    assert manifest["formats"]["qwen3_vl"]["left_out"] == {"long_image": 2}


def test_llama_factory_finds_a_dataset_for_each_split(tmp_path: Path) -> None:
    folder = write(tmp_path / "v1", [photo(1)], [photo(2)], recipe=RECIPE, splits=["train", "test"])
    info = json.loads((folder / "qwen3_vl/dataset_info.json").read_text())
    assert list(info) == ["v1_train", "v1_test"]
    assert info["v1_test"]["file_name"] == "test.jsonl"
    assert info["v1_test"]["columns"] == {"messages": "messages", "images": "images"}
