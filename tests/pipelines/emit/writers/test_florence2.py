"""The lines for Florence-2: which pairs they hold, and what each line looks like."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from model.florence2_tasks import TASKS
from model.pairs.parsing import parse_target
from model.pairs.prefixes import expand
from pipelines.emit.verifiers.check import render_checks
from pipelines.emit.verify import verify
from tests.builders import phrase, region, text
from tests.pipelines.emit.emitted import check, draw, run, wanted
from tests.pipelines.emit.every_task import WIDE, boxes_of, noise
from tests.pipelines.emit.small_release import Item, annotated, drawn, mixed, write

Line = dict[str, str]
ONLY = {"emit": {"formats": ["florence2"]}}

pytestmark = pytest.mark.usefixtures("without_datasets")


def written(folder: Path, *shards: list[Item], splits: tuple[str, ...] = ()) -> Path:
    """A release with these lines, which passes every check."""
    release = write(folder / "v1", *shards, recipe=ONLY, splits=splits)
    checks = [one for one in verify(str(release)) if "datasets reads" not in one.name]
    assert all(one.ok for one in checks), render_checks(checks)
    return release


def lines_of(release: Path, split: str = "train") -> list[Line]:
    return [json.loads(line) for line in (release / f"florence2/{split}/annotations.jsonl").open(encoding="utf-8")]


def left_out(release: Path) -> dict[str, int]:
    found: dict[str, int] = json.loads((release / "manifest.json").read_text())["formats"]["florence2"]["left_out"]
    return found


def captioned(data: bytes, words: str) -> Item:
    """An image with a caption, and a phrase of its last three letters."""
    return annotated(
        data,
        texts=[text(words, "brief", id="people/t")],
        regions=[region((1, 1, 20, 20), id="people/r")],
        phrases=[phrase("people/t", len(words) - 3, len(words), ["people/r"], id="people/p")],
    )


def turned(image_format: str, orientation: int) -> bytes:
    """A 60 x 40 photo with this orientation in its EXIF data."""
    file, exif = io.BytesIO(), Image.Exif()
    exif[274] = orientation
    Image.new("RGB", (60, 40), (9, 90, orientation)).save(file, image_format, exif=exif)
    return file.getvalue()


def test_each_pair_has_a_line_whose_prefix_expands_to_its_prompt(every_task: Path) -> None:
    tables = [pq.read_table(path).to_pylist() for path in sorted(every_task.glob("pairs-train-*.parquet"))]
    pairs = [pair for table in tables for pair in table]
    lines = lines_of(every_task)
    assert [(expand(line["prefix"]), line["suffix"]) for line in lines] == [
        (pair["prompt"], pair["target"]) for pair in pairs
    ]
    assert [Path(line["image"]).stem for line in lines] == [pair["image_id"] for pair in pairs]
    assert {pair["task"] for pair in pairs} == set(TASKS)
    assert left_out(every_task) == {}


@pytest.mark.parametrize("task", [name for name, task in TASKS.items() if task.input == "region"])
def test_a_region_in_a_prefix_follows_the_name_of_its_task(every_task: Path, task: str) -> None:
    prefixes = [line["prefix"] for line in lines_of(every_task) if line["prefix"].startswith(task)]
    assert prefixes
    assert all(len(prefix.removeprefix(task).split("><")) == 4 for prefix in prefixes)


def test_an_image_is_found_from_the_folder_of_its_file(every_task: Path) -> None:
    for line in lines_of(every_task):
        with Image.open(every_task / "florence2/train" / line["image"]) as image:
            assert image.convert("RGB").size


def test_every_split_has_a_file_even_without_images(tmp_path: Path) -> None:
    first, second = boxes_of(noise(9, 9, seed=1), (1, 1, 5, 5)), boxes_of(noise(9, 9, seed=2), (1, 1, 5, 5))
    release = written(tmp_path, [first], [second], splits=("train", "test"))
    assert len(lines_of(release)) == len(lines_of(release, "test")) == 4
    assert lines_of(release, "valid") == []
    assert all(line["image"].startswith("../../images/test/") for line in lines_of(release, "test"))


@pytest.mark.parametrize("shards", [[], [[annotated(drawn())]]], ids=["no images", "an image without annotations"])
def test_a_release_without_pairs_has_three_empty_files(tmp_path: Path, shards: list[list[Item]]) -> None:
    release = written(tmp_path, *shards)
    assert [lines_of(release, split) for split in ("train", "valid", "test")] == [[], [], []]


def test_an_image_without_pairs_has_no_line(tmp_path: Path) -> None:
    items = mixed()
    release = written(tmp_path, items)
    assert {Path(line["image"]).stem for line in lines_of(release)} == {items[2][1]["image_id"]}


@pytest.mark.parametrize(
    "words", ["Zwei Kätzchen 猫 🐈 cat", "a\u2028b\x85c\x0bcat", 'a "cat" \\ cat', "line\r\nline cat"]
)
def test_a_caption_in_any_script_is_one_line_of_ascii(tmp_path: Path, words: str) -> None:
    release = written(tmp_path, [captioned(drawn(), words)])
    data = (release / "florence2/train/annotations.jsonl").read_bytes()
    assert data.isascii()
    assert len(data.decode().splitlines()) == len(lines_of(release))
    assert lines_of(release)[0]["suffix"] == words
    assert any(line["prefix"].endswith(words) for line in lines_of(release))


@pytest.mark.parametrize(("image_format", "orientation"), [("JPEG", 6), ("PNG", 8), ("JPEG", 2)])
def test_pairs_of_an_image_that_exif_turns_are_left_out(tmp_path: Path, image_format: str, orientation: int) -> None:
    release = written(
        tmp_path, [boxes_of(turned(image_format, orientation), (1, 1, 20, 20)), captioned(drawn(), "a cat")]
    )
    stems = {Path(line["image"]).name for line in lines_of(release)}
    assert len(stems) == 1
    assert left_out(release) == {"turned_by_exif": 4}
    assert "| left out: turned_by_exif | 4 |" in (release / "README.md").read_text()


def test_a_turned_tiff_is_kept_because_pillow_turns_it(tmp_path: Path) -> None:
    release = written(tmp_path, [boxes_of(turned("TIFF", 6), (1, 1, 20, 20))])
    assert len(lines_of(release)) == 4
    assert left_out(release) == {}


def test_a_caption_with_the_name_of_a_task_is_left_out_as_a_prompt(tmp_path: Path) -> None:
    release = written(tmp_path, [captioned(drawn(), "<OD> is on a cat")])
    assert left_out(release) == {"task_in_prompt": 1}
    assert not any(line["prefix"].startswith("<CAPTION_TO_PHRASE_GROUNDING>") for line in lines_of(release))
    assert lines_of(release)[0] == {
        "image": lines_of(release)[0]["image"],
        "prefix": "<CAPTION>",
        "suffix": "<OD> is on a cat",
    }


def test_boxes_at_the_border_of_one_pixel_and_in_wide_images_come_back(tmp_path: Path) -> None:
    boxes = {30: [(29, 19, 30, 20), (12, 7, 13, 8), (0, 0, 30, 20)], WIDE: [(3999, 0, 4000, 1), (1234.5, 3, 1300, 9)]}
    heights = {30: 20, WIDE: 16}
    items = [boxes_of(noise(width, heights[width]), *own) for width, own in boxes.items()]
    release = written(tmp_path, items)
    for line in lines_of(release):
        if line["prefix"] != "<REGION_PROPOSAL>":
            continue
        with Image.open(release / "florence2/train" / line["image"]) as image:
            width, height = image.size
        regions = parse_target("<REGION_PROPOSAL>", line["suffix"], width=width, height=height).regions
        read = np.array(sorted(region.box for region in regions if region.box))
        assert (np.abs(read - np.array(sorted(boxes.pop(width)))) <= np.array([width, height] * 2) / 1000).all()
    assert not boxes


def test_an_image_of_two_thousand_regions_is_written_and_verified(tmp_path: Path) -> None:
    corners = np.random.default_rng(0).integers(0, 90, (2000, 2)).tolist()
    item = boxes_of(noise(100, 100), *((x, y, x + 5, y + 7) for x, y in corners))
    lines = lines_of(written(tmp_path, [item]))
    assert sum(line["prefix"].startswith("<REGION_TO_CATEGORY>") for line in lines) > 1500
    assert not any("<loc_1000>" in line["suffix"] for line in lines)


def test_a_run_makes_the_lines_and_makes_them_only_once(tmp_path: Path) -> None:
    draw(tmp_path / "photos", 5)
    detector: Any = {"boxes": {"use": "faulty"}, "objects": {"use": "consensus"}}
    recipe = wanted(tmp_path, emit={"name": "v1", "formats": ["florence2"]}, annotate=detector)
    manifest = run(recipe)
    release = tmp_path / "set/releases/v1"
    listed = {file["name"]: file["rows"] for file in manifest["files"] if file["name"].startswith("florence2/")}
    assert listed == {
        "florence2/train/annotations.jsonl": len(lines_of(release)),
        "florence2/valid/annotations.jsonl": 0,
        "florence2/test/annotations.jsonl": 0,
    }
    assert lines_of(release)
    check(release)
    assert run(recipe) == manifest
