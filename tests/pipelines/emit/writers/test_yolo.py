"""labels/ and data.yaml."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from engine.errors import ConfigError
from pipelines.emit.rings import joined
from pipelines.emit.segmentations import signed_area
from pipelines.emit.writers.yolo import label_lines, merge_yolo
from tests.builders import Row, region
from tests.pipelines.emit.boxes_release import LABELS, RECIPE, boxes_release, mask
from tests.pipelines.emit.emitted import draw, run, wanted
from tests.pipelines.emit.merges import ListedMerge


def image(*regions: Row, width: int = 60, height: int = 40, image_format: str = "PNG") -> Row:
    return {"width": width, "height": height, "format": image_format, "regions": list(regions)}


def lines(*regions: Row, polygons: bool = False, **given: Any) -> tuple[list[str], dict[str, int]]:
    found, left_out = label_lines(image(*regions, **given), {"cat": 0, "dog": 1}, polygons=polygons)
    return found, dict(left_out)


def test_a_line_is_the_class_the_centre_and_the_size_as_shares_of_the_image() -> None:
    assert lines(region((6, 10, 36, 30)), region((0, 0, 60, 40), label="dog")) == (
        ["0 0.35 0.5 0.5 0.5", "1 0.5 0.5 1 1"],
        {},
    )


@pytest.mark.parametrize("box", [(3990, 0, 4000, 10), (3999, 2999, 4000, 3000), (1, 2, 3, 4), (17.3, 9.1, 17.4, 9.3)])
def test_a_box_in_an_image_of_4000_pixels_comes_back_to_a_hundredth_of_a_pixel(box: Sequence[float]) -> None:
    ((line,), _) = lines(region(box), width=4000, height=3000)
    x, y, width, height = (float(share) * side for share, side in zip(line.split()[1:], (4000, 3000) * 2, strict=True))
    assert (x - width / 2, y - height / 2, x + width / 2, y + height / 2) == pytest.approx(box, abs=0.01)


def test_a_line_that_a_reader_would_remove_as_a_duplicate_is_left_out_and_counted() -> None:
    same = [region((6, 10, 36, 30)), region((6, 10, 36, 30)), region((6, 10, 36, 30), label="dog")]
    assert lines(*same) == (["0 0.35 0.5 0.5 0.5", "1 0.35 0.5 0.5 0.5"], {"duplicate": 1})


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"image_format": "GIF"}, "image_format"),
        ({"image_format": "PPM"}, "image_format"),
        ({"width": 9}, "image_too_small"),
        ({"height": 9}, "image_too_small"),
    ],
)
def test_objects_of_an_image_that_ultralytics_ignores_are_counted(given: dict[str, Any], reason: str) -> None:
    assert lines(region((1, 1, 5, 5)), region(label="bird"), **given) == ([], {reason: 1, "not_listed": 1})


def test_a_box_whose_width_is_written_as_zero_is_left_out_and_counted() -> None:
    assert lines(region((7, 7, 7.0002, 9)), width=100_000, height=100_000) == ([], {"no_area": 1})


# --- polygons ------------------------------------------------------------------------------------------------


def corners(line: str, width: int = 60, height: int = 40) -> list[tuple[float, float]]:
    shares = list(map(float, line.split()[1:]))
    return [(round(x * width, 4), round(y * height, 4)) for x, y in zip(shares[::2], shares[1::2], strict=True)]


def test_with_polygons_every_object_is_a_polygon() -> None:
    """Ultralytics ignores an image with both forms, and drops all polygons of a set in which one image has boxes."""
    quad = [50.0, 20.0, 65.0, 30.0, 55.0, 45.0, 45.0, 35.0]
    found, left_out = lines(
        region((2, 3, 12, 13), rle=mask((2, 3, 12, 13))),
        region((45, 20, 60, 40), quad=quad),
        region((1, 2, 3, 4)),
        polygons=True,
    )
    assert [corners(line) for line in found] == [
        [(2, 3), (12, 3), (12, 13), (2, 13)],
        [(50, 20), (60, 30), (55, 40), (45, 35)],
        [(1, 2), (3, 2), (3, 4), (1, 4)],
    ]
    assert left_out == {}


def test_a_mask_of_several_parts_is_one_polygon_with_the_area_of_all_parts() -> None:
    parts = ((20, 3, 30, 20), (40, 5, 50, 15), (2, 30, 12, 38))
    ((line,), _) = lines(region((2, 3, 50, 38), rle=mask(*parts)), polygons=True)
    found = corners(line)
    area = sum((x2 - x1) * (y2 - y1) for x1, y1, x2, y2 in parts)
    assert signed_area([value for corner in found for value in corner]) == pytest.approx(area)
    assert {(20, 3), (50, 15), (2, 38)} <= set(found)


def test_parts_are_joined_at_their_nearest_corners() -> None:
    left, right = [0.0, 0.0, 2.0, 0.0, 2.0, 2.0, 0.0, 2.0], [5.0, 0.0, 7.0, 0.0, 7.0, 2.0, 5.0, 2.0]
    whole = joined([left, right])
    assert len(whole) == len(left) + len(right) + 4
    assert signed_area(whole) == 8.0
    assert joined([left]) == left


def test_an_empty_mask_is_counted_and_its_box_is_written() -> None:
    ((line,), left_out) = lines(region((1, 2, 3, 4), rle=mask()), polygons=True)
    assert corners(line) == [(1, 2), (3, 2), (3, 4), (1, 4)]
    assert left_out == {"empty_mask": 1}


# --- the release ---------------------------------------------------------------------------------------------


def test_an_image_without_objects_has_an_empty_file(boxes: Path) -> None:
    sizes = [path.stat().st_size for path in (boxes / "labels/train").iterdir()]
    assert (len(sizes), sizes.count(0)) == (5, 1)


def test_labels_lie_where_the_path_of_the_image_has_images(boxes: Path) -> None:
    for path in (boxes / "labels").rglob("*.txt"):
        stem = boxes / "images" / path.parent.name / path.stem
        assert any(stem.with_suffix(suffix).is_file() for suffix in (".jpg", ".png", ".webp"))


def test_data_yaml_names_folders_and_classes(boxes: Path) -> None:
    found = yaml.safe_load((boxes / "data.yaml").read_text())
    assert found == {"train": "images/train", "val": "images/valid", "names": dict(enumerate(LABELS))}


@pytest.mark.parametrize(
    ("splits", "paths"),
    [
        (["train"], {"train": "train", "val": "train"}),
        (["train", "test"], {"train": "train", "val": "train", "test": "test"}),
        (["valid", "test"], {"train": "valid", "val": "valid", "test": "test"}),
    ],
)
def test_another_split_stands_in_for_a_missing_one_which_is_noted(splits: list[str], paths: dict[str, str]) -> None:
    merge = ListedMerge({split: [] for split in splits}, labels=["cat"])
    merge_yolo(merge)
    text = merge.written["data.yaml"].decode()
    assert yaml.safe_load(text) == {key: f"images/{split}" for key, split in paths.items()} | {"names": {0: "cat"}}
    assert len(re.findall("^# No image is in", text, re.MULTILINE)) == 1
    assert merge.rows == {"data.yaml": 1}


def test_the_manifest_counts_what_is_left_out(boxes: Path) -> None:
    left_out = json.loads((boxes / "manifest.json").read_text())["formats"]["yolo"]["left_out"]
    names = ("crowd", "duplicate", "image_format", "image_too_small", "no_area", "not_listed")
    assert left_out == dict(zip(names, (1, 1, 2, 1, 1, 1), strict=True))


def test_a_recipe_without_a_label_list_is_refused_before_any_work(tmp_path: Path) -> None:
    draw(tmp_path / "photos", 1)
    with pytest.raises(ConfigError, match=r"emit.formats has yolo, which numbers its classes, but emit.label_list is"):
        run(wanted(tmp_path, emit={"formats": ["webdataset", "yolo"]}))
    assert not (tmp_path / "set").exists()


def test_polygons_are_an_option_of_the_recipe(tmp_path: Path) -> None:
    recipe = {"emit": RECIPE["emit"] | {"yolo_polygons": True}}
    folder = boxes_release(tmp_path / "v1", recipe=recipe)
    lengths = {len(line.split()) for path in folder.glob("labels/*/*.txt") for line in path.read_text().splitlines()}
    assert min(lengths) == 9
