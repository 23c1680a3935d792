"""What `engine verify` finds in images/<split>/metadata.jsonl: each test damages one thing."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from pipelines.emit.verifiers import imagefolder_program
from pipelines.emit.verifiers.imagefolder import ImagefolderVerifier
from tests.pipelines.emit.boxes_release import change_manifest, change_rows, checked, copied

Lines = list[dict[str, Any]]


@pytest.fixture
def unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    """`datasets`, whose start takes seconds, is not asked."""
    monkeypatch.setattr(imagefolder_program, "ask", lambda *_: {})


def faults(folder: Path) -> list[str]:
    return checked(folder, ImagefolderVerifier).faults


def changed(boxes: Path, tmp_path: Path, change: Callable[[Lines], object]) -> list[str]:
    folder = copied(boxes, tmp_path)
    path = folder / "images/train/metadata.jsonl"
    lines = [json.loads(line) for line in path.read_text().split("\n")[:-1]]
    change(lines)
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return faults(folder)


def test_datasets_reads_every_image_streamed_and_loaded(boxes: Path) -> None:
    pytest.importorskip("datasets")
    check = checked(boxes, ImagefolderVerifier)
    assert (check.faults, check.detail) == ([], "8 images streamed and loaded")


def first(key: str, value: Any) -> Callable[[Lines], None]:
    """A change of a list of the objects of the first line."""

    def change(lines: Lines) -> None:
        lines[0]["objects"][key][0] = value

    return change


def box(convert: Callable[[list[float], dict[str, Any]], list[float]]) -> Callable[[Lines], None]:
    def change(lines: Lines) -> None:
        for line in lines:
            line["objects"]["bbox"] = [convert(bbox, line) for bbox in line["objects"]["bbox"]]

    return change


CONVENTIONS = {
    "corners": box(lambda b, _: [b[0], b[1], b[0] + b[2], b[1] + b[3]]),
    "shares": box(lambda b, i: [b[0] / i["width"], b[1] / i["height"], b[2] / i["width"], b[3] / i["height"]]),
    "y before x": box(lambda b, _: [b[1], b[0], b[3], b[2]]),
}


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_boxes_in_another_convention_are_reported(boxes: Path, tmp_path: Path, unasked: None, convention: str) -> None:
    assert " has the box [" in changed(boxes, tmp_path, CONVENTIONS[convention])[0]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (first("categories", "dog"), "has the label 'dog' for m/1, its record has 'cat'"),
        (first("scores", 0.8), "has other scores than its record"),
        (first("human", True), "has other scores than its record"),
        (first("areas", 1.0), "has other areas than its record"),
        (lambda lines: lines[0]["objects"]["bbox"].pop(), "ValueError: zip() argument 2 is shorter"),
        (lambda lines: lines[0].update(width=1), "has another width than its record"),
        (lambda lines: lines[0].update(licence="mit"), "has another licence than its record"),
        (lambda lines: lines[0].update(captions=["a"], granularities=["brief"]), "has other captions"),
        (lambda lines: lines[0].pop("image_id"), "KeyError: 'image_id'"),
        (lambda lines: lines.pop(0), "is not there"),
        (lambda lines: lines.append(lines[0]), " is there twice"),
        (lambda lines: lines.append(lines[0] | {"file_name": "x.png"}), "has x.png, no record has"),
    ],
)
def test_a_changed_line_is_reported(
    boxes: Path, tmp_path: Path, change: Callable[[Lines], object], sentence: str, unasked: None
) -> None:
    found = changed(boxes, tmp_path, change)
    assert any(sentence in one for one in found), found


def test_a_missing_image_is_reported(boxes: Path, tmp_path: Path, unasked: None) -> None:
    folder = copied(boxes, tmp_path)
    image = next((folder / "images/train").glob("*.gif"))
    image.unlink()
    (sentence,) = faults(folder)
    assert sentence.endswith(f"{image.stem} has no file {image.name} beside it")


@pytest.mark.parametrize("cut", [100, 0])
def test_a_truncated_or_missing_file_is_reported(boxes: Path, tmp_path: Path, cut: int, unasked: None) -> None:
    folder = copied(boxes, tmp_path)
    path = folder / "images/train/metadata.jsonl"
    data = path.read_bytes()[:-cut]
    path.unlink()
    if cut:
        path.write_bytes(data)
    (sentence,) = faults(folder)
    assert sentence.startswith(f"images/train/metadata.jsonl: {'JSONDecodeError' if cut else 'FileNotFoundError'}")


def test_wrong_numbers_in_the_manifest_are_reported(boxes: Path, tmp_path: Path, unasked: None) -> None:
    folder = copied(boxes, tmp_path)
    change_rows(folder, "images/valid/metadata.jsonl", by=-1)
    change_manifest(folder, "formats", "imagefolder", "left_out", value={"crowd": 2, "no_area": 1})
    assert faults(folder) == [
        "images/valid/metadata.jsonl has 1 lines, the manifest has 0",
        "1 annotations are not in imagefolder because of crowd, the manifest has 2",
    ]


def test_other_values_that_datasets_reads_are_reported(
    boxes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answers(images: Path, splits: Sequence[str], cache: Path) -> dict[str, imagefolder_program.Answer]:
        return {
            "train streamed": {"rows": 7, "digest": "of other values"},
            "valid loaded": {"error": "ValueError: features differ"},
        }

    monkeypatch.setattr(imagefolder_program, "ask", answers)
    assert faults(boxes) == [
        "images/train/metadata.jsonl, streamed: `datasets` reads other values than the file has",
        "images/valid/metadata.jsonl, loaded: ValueError: features differ",
    ]


def test_datasets_that_is_not_installed_is_named_once(boxes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    missing = {f"train {way}": {"missing": "datasets"} for way in imagefolder_program.WAYS}
    monkeypatch.setattr(imagefolder_program, "ask", lambda *_: missing)
    (sentence,) = faults(boxes)
    assert sentence.startswith("datasets is not installed")
