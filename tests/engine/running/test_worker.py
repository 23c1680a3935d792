"""A worker with hanging decoders, huge images and invalid answers, in this process."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from engine.images.decode import image_id
from engine.running import image_items
from engine.running.image_items import cut
from engine.schema import Answer, Region, Sample
from pipelines.recipe import parse_recipe
from pipelines.stages import run as stages
from tests.runs import draw_photos, failures


class Odd:
    """Returns the answer that ODD has for an image, or else a valid one."""

    needs: ClassVar[tuple[str, ...]] = ("pixels",)
    gives: ClassVar[tuple[str, ...]] = ("boxes",)
    version, deterministic = 1, True

    def load(self) -> None: ...

    def annotate(self, batch: Sequence[Sample]) -> list[Any]:
        good = Answer(regions=[Region(0, 0, 5, 5, "cat", score=0.5)])
        return [ODD.get(sample.image_id, good) for sample in batch]


ODD: dict[str, Any] = {}  # answers by image id


def annotate(tmp_path: Path, photos: int, use: str = "decodes", **options: Any) -> Any:
    data = {
        "dataset": str(tmp_path / "set"),
        "ingest": {"sources": [{"folder": str(tmp_path / "photos")}], "max_seconds": 0.3},
        "annotate": {"node": {"use": use, **options}},
    }
    ids = draw_photos(tmp_path / "photos", photos)
    stages.run(parse_recipe(data), stage="ingest", runner="inline")
    return ids, lambda: stages.run(parse_recipe(data), stage="annotate", runner="inline")


@pytest.mark.parametrize(
    "odd",
    [
        None,
        Answer(regions=[Region(None, 0, 5, 5, "cat", score=0.5)]),  # type: ignore[arg-type]
        Answer(regions=[Region(0, 0, 5, 5, 7, score=0.5)]),  # type: ignore[arg-type]
        Answer(regions=[Region(0, 0, 5, 5, "\ud800", score=0.5)]),
        Answer(regions=[Region(0, 0, float("nan"), 5, "cat", score=0.5)]),
        Answer(regions=[Region(0, 0, 5, 5, "cat")]),
    ],
    ids=["None", "a box without a number", "a label that is a number", "no Unicode", "NaN", "no score"],
)
def test_an_invalid_answer_is_a_failure_of_one_image(tmp_path: Path, odd: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    ids, work = annotate(tmp_path, 6, "tests.engine.running.test_worker:Odd")
    monkeypatch.setitem(ODD, ids[2], odd)
    work()
    assert [(found["image_id"], found["reason"]) for found in failures(tmp_path / "set", "node")] == [
        (ids[2], "bad_answer")
    ]


@pytest.mark.parametrize("huge", [0, 10**9])
def test_decoders_that_hang_fail_only_their_images(tmp_path: Path, huge: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """With `huge` 0, every image takes the lock for huge images, which a hanging one never releases."""
    ids, work = annotate(tmp_path, 12)
    hang = threading.Event()

    def decode(data: bytes, limits: Any) -> Any:
        if image_id(data) in ids[2:4]:
            hang.wait(20)
        return np.zeros((24, 24, 3), np.uint8)

    monkeypatch.setattr(image_items, "decode", decode)
    monkeypatch.setattr(image_items, "HUGE_PIXELS", huge)
    work()
    hang.set()
    found = failures(tmp_path / "set", "node")
    assert [(failure["image_id"], failure["reason"]) for failure in found] == [(name, "timeout") for name in ids[2:4]]


def test_a_moved_photo_is_read_from_its_other_source(tmp_path: Path) -> None:
    _, work = annotate(tmp_path, 3)
    photos = tmp_path / "photos"
    (photos / "elsewhere").mkdir()
    (photos / "elsewhere" / "1.png").write_bytes((photos / "00001.png").read_bytes())
    annotate(tmp_path, 0)
    (photos / "00001.png").unlink()
    work()
    assert failures(tmp_path / "set", "node") == []


def test_batches_are_cut_by_number_and_by_pixels() -> None:
    million = 1_000_000
    assert list(cut([million] * 5, 0, 5, 2)) == [(0, 2), (2, 4), (4, 5)]
    assert list(cut([90 * million, 90 * million, million, million], 0, 4, 16)) == [(0, 1), (1, 4)]
