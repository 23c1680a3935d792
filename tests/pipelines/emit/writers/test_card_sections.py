"""The sections of the data card about formats of object detection."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from engine.reading.release_manifest import Manifest, read_manifest
from engine.storage.files import Storage
from pipelines.emit.writers.coco import COCO
from pipelines.emit.writers.format import Format
from pipelines.emit.writers.imagefolder import IMAGEFOLDER
from pipelines.emit.writers.yolo import YOLO
from tests.pipelines.emit.boxes_release import LABELS, copied


def section(boxes: Path, title: str) -> str:
    return (boxes / "README.md").read_text().partition(f"## {title}\n")[2].partition("\n## ")[0]


def with_splits(boxes: Path, **splits: int) -> Manifest:
    """The manifest of the release with other splits."""
    manifest = read_manifest(Storage(str(boxes)))
    manifest["splits"] = splits
    return manifest


def test_the_code_on_the_card_runs(boxes: Path, tmp_path: Path) -> None:
    pytest.importorskip("datasets")
    copied(boxes, tmp_path)
    code = [
        re.findall(r"```python\n(.*?)```", section(boxes, title), re.DOTALL)[0] for title in ("COCO", "imagefolder")
    ]
    home = {"HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "1"}
    program = [sys.executable, "-c", "\n".join([*code, "print(names, boxes)"])]
    done = subprocess.run(program, cwd=tmp_path, env=os.environ | home, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "(40, 60) [] []" in done.stdout  # turned upright, without objects
    assert done.stdout.splitlines()[-1] == f"{sorted([*LABELS, 'unlisted'])} [[0.0, 0.0, 9.0, 9.0]]"


def test_the_card_says_which_split_stands_in_for_validation(boxes: Path) -> None:
    assert "no split `valid`" not in section(boxes, "YOLO")
    assert YOLO.card
    alone = YOLO.card(with_splits(boxes, train=7))
    assert "no split `valid`, so `val` in `data.yaml` is `images/train`" in alone


@pytest.mark.parametrize("form", [COCO, YOLO, IMAGEFOLDER])
def test_a_release_without_images_has_no_section(boxes: Path, form: Format) -> None:
    assert form.card
    assert form.card(with_splits(boxes)) == ""
