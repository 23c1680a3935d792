"""A sample of a release that supervision reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipelines.emit.objects import objects
from pipelines.emit.verifiers import supervision
from pipelines.emit.verifiers.check import Check
from pipelines.emit.verifiers.read_boxes import ReadBox
from pipelines.emit.verifiers.supervision import SupervisionSample, coco_reader, yolo_reader
from pipelines.emit.writers.yolo import unread
from tests.pipelines.emit.boxes_release import LABELS, copied, records

READERS = {"coco": coco_reader, "yolo": yolo_reader}


@pytest.fixture(autouse=True)
def _installed() -> None:
    pytest.importorskip("supervision")


def boxes_of(record: dict[str, Any], form: str) -> list[ReadBox]:
    found, _ = objects(record, LABELS, crowds=form == "coco")
    boxes = [ReadBox(one.region["label"], one.box) for one in found]
    return boxes if form == "coco" else list(dict.fromkeys(boxes))  # labels/ has no line twice


def sample(folder: Path, form: str, *, shift: float = 0.0, label: str = "", rows: int = 9) -> Check:
    """The check after supervision read the split train. `shift`, `label`: what is expected of the first box instead."""
    check = Check("supervision")
    made = SupervisionSample(check, READERS[form](folder))
    everything = [record for number in (0, 1) for record in records(folder, number=number)]
    for at, record in enumerate(everything):
        if (form == "yolo" and unread(record)) or at >= rows:
            made.leave_out("train")
            continue
        boxes = boxes_of(record, form)
        if at == 1:
            name, (x1, y1, x2, y2) = boxes[0]
            boxes[0] = ReadBox(label or name, (x1, y1, x2 + shift, y2))
        made.add("train", record, boxes, masks=any(region["rle"] for region in record["regions"]))
    made.finish()
    return check


@pytest.mark.parametrize("form", READERS)
@pytest.mark.parametrize("rows", [2, 9])
def test_supervision_reads_the_same_boxes_in_a_part_or_in_all_images(boxes: Path, form: str, rows: int) -> None:
    check = sample(boxes, form, rows=rows)
    assert check.faults == []
    assert check.detail == f"; supervision reads {min(rows, 7 if form == 'coco' else 5)} of them"


@pytest.mark.parametrize("form", READERS)
def test_another_box_or_label_is_reported(boxes: Path, form: str) -> None:
    (sentence,) = sample(boxes, form, shift=0.01).faults
    assert sentence.endswith(": it finds other boxes")
    (sentence,) = sample(boxes, form, label="yes").faults
    assert sentence.endswith(": it finds other labels")


def test_an_image_that_supervision_does_not_turn_upright_is_reported(boxes: Path) -> None:
    check = Check("supervision")
    made = SupervisionSample(check, coco_reader(boxes))
    record = records(boxes)[0]
    made.leave_out("train")
    made.add("train", record | {"width": 60, "height": 40}, [], masks=False)
    made.finish()
    assert [sentence.partition(" to ")[2] for sentence in check.faults] == ["40x60, its record has 60x40"]


def test_an_image_that_supervision_does_not_list_is_reported(boxes: Path, tmp_path: Path) -> None:
    folder = copied(boxes, tmp_path)
    path = folder / "coco/instances_train.json"
    content = json.loads(path.read_text())
    content["images"].pop()
    path.write_text(json.dumps(content))
    (sentence,) = sample(folder, "coco").faults
    assert sentence.endswith(": reads no such image")


def test_the_sample_is_bounded(boxes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervision, "IMAGES", 3)
    assert sample(boxes, "coco").detail == "; supervision reads 3 of them"
    monkeypatch.setattr(supervision, "IMAGES", 500)
    monkeypatch.setattr(supervision, "MASK_BYTES", 10_000)  # less than the five masks of the second image
    assert sample(boxes, "coco").detail == "; supervision reads 6 of them"
