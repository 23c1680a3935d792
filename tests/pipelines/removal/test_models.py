"""Which models saw removed images, from what their training.json says about the pairs that they were trained on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from engine.storage.commits import Commits, Record
from engine.storage.files import Storage
from engine.storage.sealed import seal
from model.training.job import trained_on
from pipelines.refine.training_pairs import ROUND_PAIRS
from pipelines.removal.models import models_that_saw
from tests.pipelines.removal.small_set import Small, take_out


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Storage(str(tmp_path))


def train(storage: Storage, name: str, on: list[str] | None, init: str = "tiny", **more: Any) -> None:
    record: dict[str, Any] = {"key": name, "init": init, **more} | ({} if on is None else {"trained_on": on})
    storage.put(f"models/{name}/training.json", seal(record))


def saw(storage: Storage, *releases: str) -> dict[str, str]:
    return models_that_saw(storage, {"a" * 32}, releases)


def test_a_model_trained_on_a_release_that_holds_them_saw_them(storage: Storage) -> None:
    storage.put("releases/v2/manifest.json", b"{}")
    train(storage, "one", ["releases/v1"])
    train(storage, "two", ["releases/v2"])
    assert saw(storage, "releases/v1") == {"one": "was trained on releases/v1"}


def test_a_model_that_started_from_one_that_saw_them_saw_them_too(storage: Storage) -> None:
    storage.put("releases/v2/manifest.json", b"{}")
    train(storage, "third", ["releases/v2"], init="second")
    train(storage, "second", ["releases/v2"], init="first")
    train(storage, "first", ["releases/v1"])
    assert saw(storage, "releases/v1") == {
        "first": "was trained on releases/v1",
        "second": "started from first",
        "third": "started from second",
    }


@pytest.mark.parametrize(
    ("image", "expected"), [("a", {"student": "was trained on round-1-pairs/12345678"}), ("b", {})]
)
def test_a_student_saw_the_images_of_its_pairs(storage: Storage, image: str, expected: dict[str, str]) -> None:
    row = {field.name: 0 if pa.types.is_integer(field.type) else "" for field in ROUND_PAIRS}
    row |= {"image_id": image * 32, "annotation_ids": [], "truncated": False}
    commits = Commits(storage, "round-1-pairs/12345678")
    commits.commit(Record(0, 0, {"data": commits.put_table(0, pa.Table.from_pylist([row], ROUND_PAIRS))}))
    train(storage, "student", ["round-1-pairs/12345678"], only={"fold": [0]})
    train(storage, "of another fold", ["round-1-pairs/12345678"], only={"fold": [1]})
    assert saw(storage) == expected


def test_what_cannot_be_known_is_said(storage: Storage) -> None:
    storage.put("models/unfinished/checkpoints/1.bin", b"")
    train(storage, "old", None)
    train(storage, "lost", ["releases/deleted"])
    train(storage, "foreign", ["elsewhere"])
    assert saw(storage) == {
        "foreign": "may have seen them: it was trained on 'elsewhere' of another data set",
        "lost": "may have seen them: it was trained on releases/deleted, which is gone",
        "old": "may have seen them: its training.json does not name what it was trained on",
        "unfinished": "may have seen them: its training has not ended",
    }


def test_a_removal_lists_the_models(small: Small) -> None:
    train(Storage(str(small.dataset)), "mine", ["releases/v1"])
    removal = take_out(small.folder, [small.ids[2]])
    assert "model: 'mine' (was trained on releases/v1)" in str(removal)
    assert removal.ok


def test_a_training_records_the_folders_of_its_pairs() -> None:
    files = ["/data/set/releases/v1/pairs-00000.parquet", "/data/set/releases/v1/pairs-00001.parquet"]
    assert trained_on(files, "/data/set") == ["releases/v1"]
    assert trained_on(["s3://set/round-1-pairs/12/00000-ab.parquet"], "s3://set") == ["round-1-pairs/12"]
    assert trained_on(["/other/v7/pairs-00000.parquet"], "/data/set") == ["v7"]
