"""After any sequence of changes to the sources, with killed runs between, a data set equals a fresh one."""

from __future__ import annotations

import contextlib
import os
import random
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from engine.reading.accounting import account
from engine.reading.dataset import Dataset
from engine.storage.commits import Commits
from engine.storage.files import Storage
from tests.pipelines.ingest.test_corrected_sources import coco, draw, ingest, write_coco


class Killed(BaseException):
    """Stands for the death of the process."""


@pytest.mark.parametrize("seed", range(6))
def test_any_sequence_of_changes_ends_as_a_fresh_data_set_would(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    chance = random.Random(seed)
    boxes: dict[str, list[tuple[int, int]]] = {}
    colour = 0
    sources = [{"folder": str(tmp_path / "photos")}, coco(tmp_path)]
    for _ in range(6):
        for _ in range(chance.randint(1, 4)):
            name = chance.choice([*boxes, "new"])
            match chance.choice(["add", "remove", "relabel", "relabel", "touch", "replace"]):
                case "add":
                    colour += 1
                    draw(tmp_path / "photos" / f"{colour}.png", colour)
                    boxes[f"{colour}.png"] = [(1, chance.randint(0, 20))]
                case "remove" if len(boxes) > 2 and name in boxes:
                    del boxes[name]
                    (tmp_path / "photos" / name).unlink()
                case "relabel" if name in boxes:
                    boxes[name] = [(chance.randint(1, 2), chance.randint(0, 20)) for _ in range(chance.randint(0, 2))]
                case "touch" if name in boxes:
                    os.utime(tmp_path / "photos" / name, (colour, chance.randint(1, 9)))
                case "replace" if name in boxes:
                    colour += 1
                    draw(tmp_path / "photos" / name, colour)
        if not boxes:
            draw(tmp_path / "photos" / "first.png", 9999)
            boxes["first.png"] = [(2, 2)]
        write_coco(tmp_path / "inst.json", boxes)
        _killed_somewhere(tmp_path, sources, chance.randint(1, 12), monkeypatch)
    ingest(tmp_path, *sources)
    ingest(tmp_path, *sources, dataset="fresh")
    now, fresh = by_content(tmp_path, "set"), by_content(tmp_path, "fresh")
    assert {image: found for image, found in now.items() if found} == {i: f for i, f in fresh.items() if f}
    assert set(fresh) <= set(now)
    for dataset in ("set", "fresh"):
        counted = account(Dataset.open(str(tmp_path / dataset)))
        assert counted.balanced
        assert counted.outcomes["duplicates"] == len(boxes)


def _killed_somewhere(home: Path, sources: list[Any], commits: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that dies at its n-th commit, if it makes so many."""
    real, left = Storage.create, iter(range(commits))

    def create(self: Storage, name: str, data: bytes) -> bool:
        if next(left, None) is None:
            raise Killed
        return real(self, name, data)

    with monkeypatch.context() as patch:
        patch.setattr(Storage, "create", create)
        with contextlib.suppress(Killed):
            ingest(home, *sources)


def by_content(home: Path, dataset: str) -> dict[str, Any]:
    """The boxes of each image, without their ids."""
    storage = Storage(str(home / dataset))
    commits = Commits(storage, "images")
    found: dict[str, Any] = {}
    for shard, revision in enumerate(commits.revisions()):
        files = commits.record(shard, int(revision)).files
        for row in pq.read_table(storage.path(files["data"].path)).to_pylist():
            found[row["image_id"]] = []
        for row in pq.read_table(storage.path(files["labels"].path)).to_pylist() if "labels" in files else ():
            found[row["image_id"]] = [(region["label"], region["x1"], region["id"]) for region in row["regions"]]
    return found
