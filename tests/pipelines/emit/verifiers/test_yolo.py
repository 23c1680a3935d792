"""What `engine verify` finds in labels/ and data.yaml: each test damages one thing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from pipelines.emit.verifiers.yolo import YoloVerifier
from tests.pipelines.emit.boxes_release import (
    RECIPE,
    boxes_release,
    change_manifest,
    change_rows,
    checked,
    copied,
    records,
)

Numbers = Sequence[float]


@pytest.fixture(scope="module")
def polygons(tmp_path_factory: pytest.TempPathFactory) -> Path:
    recipe = {"emit": RECIPE["emit"] | {"yolo_polygons": True}}
    return boxes_release(tmp_path_factory.mktemp("polygons") / "v1", recipe=recipe)


def faults(folder: Path) -> list[str]:
    return checked(folder, YoloVerifier).faults


def label_file(folder: Path, row: int = 1) -> Path:
    """The label file of a row of the first shard: 1 has masks, 2 is 4,000 pixels wide."""
    return folder / f"labels/train/{records(folder)[row]['image_id']}.txt"


def changed(release: Path, tmp_path: Path, change: Callable[[list[str]], Sequence[str]], row: int = 1) -> list[str]:
    """The faults after a change of the lines of a label file."""
    folder = copied(release, tmp_path)
    path = label_file(folder, row)
    path.write_text("".join(f"{line}\n" for line in change(path.read_text().splitlines())))
    return faults(folder)


def numbers(change: Callable[[list[float]], list[float]]) -> Callable[[list[str]], list[str]]:
    """A change of the numbers of every line."""

    def convert(lines: list[str]) -> list[str]:
        split = [line.split() for line in lines]
        return [" ".join([one[0], *map(repr, change(list(map(float, one[1:]))))]) for one in split]

    return convert


def test_a_release_without_damage_has_no_faults(boxes: Path, polygons: Path) -> None:
    for release in (boxes, polygons):
        check = checked(release, YoloVerifier)
        assert (check.faults, check.detail[:22]) == ([], "8 images, 2016 objects")


def test_supervision_reads_every_image_that_it_can(boxes: Path, polygons: Path) -> None:
    pytest.importorskip("supervision")
    for release in (boxes, polygons):
        check = checked(release, YoloVerifier)
        assert (check.ok, check.skipped) == (True, [])
        assert check.detail.endswith("; supervision reads 6 of them")


CONVENTIONS = {
    "corner and size": numbers(lambda n: [n[0] - n[2] / 2, n[1] - n[3] / 2, n[2], n[3]]),
    "corners": numbers(lambda n: [n[0] - n[2] / 2, n[1] - n[3] / 2, n[0] + n[2] / 2, n[1] + n[3] / 2]),
    "pixels": numbers(lambda n: [n[0] * 60, n[1] * 40, n[2] * 60, n[3] * 40]),
    "y before x": numbers(lambda n: [n[1], n[0], n[3], n[2]]),
    "thousandths": numbers(lambda n: [round(value, 3) for value in n]),
}


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_boxes_in_another_convention_are_reported(boxes: Path, tmp_path: Path, convention: str) -> None:
    sentences = changed(boxes, tmp_path, CONVENTIONS[convention])
    assert " has the box [" in sentences[0] or "expected shares from 0 to 1" in sentences[0]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda lines: [lines[0][:-2], *lines[1:]], "has the box ["),
        (lambda lines: [lines[0][:6], *lines[1:]], "columns, expected 5"),
        (lambda lines: lines[:-1], "has too few lines"),
        (lambda lines: [*lines, lines[0]], "has 1 lines twice, which Ultralytics removes"),
        (lambda lines: [*lines, "0 0.5 0.5 0.5 0.5"], "has 5 lines, its record has 4 objects"),
        (lambda lines: lines[::-1], "has the box ["),
        (lambda lines: [f"99{lines[0][1:]}", *lines[1:]], "has the class 99, expected 0 to 5"),
        (lambda lines: [f"0.5{lines[0][1:]}", *lines[1:]], "has the class 0.5, expected 0 to 5"),
        (lambda lines: [f"1{lines[0][1:]}", *lines[1:]], "has the label 'Kätzchen"),
        (lambda lines: [f"{lines[0]} 0.9", *lines[1:]], "has a line of 6 columns"),
        (lambda lines: [f"{lines[0]} 0.1 0.2", *lines[1:]], "has boxes and polygons"),
        (lambda lines: ["cat 0.1 0.2 0.3 0.4", *lines[1:]], "ValueError: could not convert string to float"),
        (lambda lines: ["0 nan 0.2 0.3 0.4", *lines[1:]], "columns, expected 5"),
    ],
)
def test_a_changed_label_file_is_reported(
    boxes: Path, tmp_path: Path, change: Callable[[list[str]], list[str]], sentence: str
) -> None:
    found = changed(boxes, tmp_path, change)
    assert sentence in found[0], found


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (numbers(lambda n: n[2:] + n[:2]), ""),  # the same polygon, from another corner
        (numbers(lambda n: [*n[:2], *n[4:6], *n[2:4], *n[6:]]), "has another polygon for m/1 than its record"),
        (numbers(lambda n: [n[0] + 0.01, *n[1:]]), "has another polygon for m/1 than its record"),
        (numbers(lambda n: [value for pair in zip(n[1::2], n[::2], strict=True) for value in pair]), "another polygon"),
        (lambda lines: ["0 0.5 0.5 0.5 0.5" for _ in lines], "has 3 lines twice"),
        (lambda lines: [lines[0], *("0 0.5 0.5 0.5 0.5" for _ in lines[1:2]), *lines[2:]], "has boxes and polygons"),
    ],
)
def test_changed_polygons_are_reported(
    polygons: Path, tmp_path: Path, change: Callable[[list[str]], list[str]], sentence: str
) -> None:
    found = changed(polygons, tmp_path, change)
    assert (sentence in found[0]) if sentence else found == [], found


def test_a_box_in_a_release_of_polygons_is_reported(polygons: Path, tmp_path: Path) -> None:
    found = changed(polygons, tmp_path, lambda _: [f"0 0.{n} 0.5 0.5 0.5" for n in (2, 3, 4, 5)])
    assert "has a box, expected the other form" in found[0]


def test_a_missing_label_file_or_image_is_reported(boxes: Path, tmp_path: Path) -> None:
    folder = copied(boxes, tmp_path)
    path = label_file(folder)
    path.unlink()
    (sentence,) = faults(folder)
    assert sentence.startswith(f"labels/train/{path.name}: FileNotFoundError")
    (folder / f"images/train/{path.stem}.png").unlink()
    assert f"has no image images/train/{path.stem}.png" in faults(folder)[0]


def test_a_label_file_of_an_image_that_ultralytics_ignores_is_reported(boxes: Path, tmp_path: Path) -> None:
    folder = copied(boxes, tmp_path)
    gif = records(folder, number=1)[1]["image_id"]
    (folder / f"labels/train/{gif}.txt").write_text("")
    assert faults(folder) == [f"labels/train/{gif}.txt exists, but Ultralytics ignores its image"]


def test_a_label_file_of_another_image_is_reported(boxes: Path, tmp_path: Path) -> None:
    folder = copied(boxes, tmp_path)
    label_file(folder, 2).write_bytes(label_file(folder, 1).read_bytes())
    assert len(faults(folder)) == 2  # the file, and the number of duplicates


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("images/train", "images/training", "its 'train' is images/training, which is not there"),
        ("val: images/valid\n", "", "it has no 'val', which Ultralytics needs"),
        ("  0: cat", "  0: dog", "has other names than emit.label_list"),
        ("  0: cat\n", "", "its classes are not numbered from 0"),
        ("train: images", "path: x\ntrain: images", "it has 'path'"),
        ("names:", "names: [", "data.yaml: ParserError"),
    ],
)
def test_a_changed_data_yaml_is_reported(boxes: Path, tmp_path: Path, old: str, new: str, sentence: str) -> None:
    folder = copied(boxes, tmp_path)
    path = folder / "data.yaml"
    path.write_text(path.read_text().replace(old, new, 1))
    assert sentence in faults(folder)[0]


def test_a_missing_data_yaml_is_reported(boxes: Path, tmp_path: Path) -> None:
    folder = copied(boxes, tmp_path)
    (folder / "data.yaml").unlink()
    assert faults(folder)[0].startswith("data.yaml: FileNotFoundError")


def test_wrong_numbers_in_the_manifest_are_reported(boxes: Path, tmp_path: Path) -> None:
    folder = copied(boxes, tmp_path)
    change_rows(folder, "data.yaml", by=2)
    change_manifest(folder, "formats", "yolo", "left_out", "duplicate", value=0)
    assert faults(folder) == [
        "data.yaml has 6 names, the manifest has 8",
        "1 annotations are not in yolo because of duplicate, the manifest has 0",
    ]


def test_a_cache_that_ultralytics_wrote_is_no_fault(boxes: Path, tmp_path: Path) -> None:
    from pipelines.emit.writers import is_of_a_format

    assert not is_of_a_format("labels/train.cache")
    assert is_of_a_format("labels/train/x.txt")
