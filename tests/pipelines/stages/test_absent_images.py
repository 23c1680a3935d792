"""Images whose source cannot be read now: pending, reported, and completed by the same command once they are back.

They count as failed only on request. Tests run in this process and in others, and check the exit code, the
message and the state afterwards.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from engine.errors import RunFailed
from engine.reading.accounting import account
from engine.reading.dataset import Dataset
from pipelines.stages import run as stages
from tests.runs import commits, draw_photos, failures, recipe, release_files, released_ids

RUNNERS = ("inline", "local")


@pytest.fixture(params=RUNNERS)
def runner(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def wanted(tmp_path: Path, name: str = "set", **changes: Any) -> Any:
    photos = tmp_path / "photos"
    ingest = {"sources": [{"folder": str(photos)}], "shard_size": 4}
    return recipe(tmp_path / name, photos, {}, **{"ingest": ingest, **changes})


def outcomes(dataset: Path) -> dict[str, int]:
    found = account(Dataset.open(str(dataset)))
    assert found.balanced
    return {name: number for name, number in found.outcomes.items() if number}


def test_a_photo_that_is_gone_is_pending_until_the_same_command_finds_it_again(tmp_path: Path, runner: str) -> None:
    draw_photos(tmp_path / "photos", 12)
    stages.run(wanted(tmp_path, "undisturbed"), runner="inline")
    stages.run(wanted(tmp_path), stage="ingest", runner="inline")
    (tmp_path / "photos/00005.png").rename(tmp_path / "hidden.png")
    with pytest.raises(RunFailed, match=r"^1 image of 1 shard cannot be read now, .*1 missing; .*00005\.png.*put the"):
        stages.run(wanted(tmp_path), runner=runner)
    assert outcomes(tmp_path / "set") == {"kept": 8, "pending": 4}
    assert len(commits(tmp_path / "set", "boxes")) == 2, "the other shards go on"
    assert failures(tmp_path / "set", "boxes") == []
    assert not (tmp_path / "set/releases").exists()
    (tmp_path / "hidden.png").rename(tmp_path / "photos/00005.png")
    stages.run(wanted(tmp_path), runner="inline")
    assert outcomes(tmp_path / "set") == {"kept": 12}
    assert release_files(tmp_path / "set") == release_files(tmp_path / "undisturbed")


def test_a_photo_that_is_gone_counts_as_failed_on_request(tmp_path: Path) -> None:
    ids = draw_photos(tmp_path / "photos", 8)
    stages.run(wanted(tmp_path), stage="ingest", runner="inline")
    (tmp_path / "photos/00005.png").unlink()
    with pytest.raises(RunFailed, match=r"--set run\.missing=fail"):
        stages.run(wanted(tmp_path), stage="annotate", runner="inline")
    stages.run(wanted(tmp_path, run={"missing": "fail"}), runner="inline")
    assert outcomes(tmp_path / "set") == {"kept": 7, "quarantined": 1}
    assert [failure["reason"] for failure in failures(tmp_path / "set", "boxes")] == ["missing"]
    assert released_ids(tmp_path / "set") == set(ids) - {ids[5]}


def test_with_nearly_all_photos_gone_nothing_is_released(tmp_path: Path) -> None:
    draw_photos(tmp_path / "photos", 24)
    stages.run(wanted(tmp_path), stage="ingest", runner="inline")
    for path in sorted((tmp_path / "photos").iterdir())[1:]:
        path.unlink()
    with pytest.raises(RunFailed, match=r"^23 images of 6 shards cannot be read now"):
        stages.run(wanted(tmp_path), runner="inline")
    assert outcomes(tmp_path / "set") == {"pending": 24}
    assert not (tmp_path / "set/releases").exists()


def test_a_release_waits_for_a_photo_that_was_annotated_and_is_gone(tmp_path: Path, runner: str) -> None:
    draw_photos(tmp_path / "photos", 8)
    stages.run(wanted(tmp_path, "undisturbed"), runner="inline")
    for stage in ("ingest", "annotate", "filter"):
        stages.run(wanted(tmp_path), stage=stage, runner="inline")
    (tmp_path / "photos/00005.png").rename(tmp_path / "hidden.png")
    with pytest.raises(RunFailed, match=r"^1 image of 1 shard cannot be read now, so no release is made"):
        stages.run(wanted(tmp_path), stage="emit", runner=runner)
    assert not (tmp_path / "set/releases/v1/manifest.json").exists()
    (tmp_path / "hidden.png").rename(tmp_path / "photos/00005.png")
    stages.run(wanted(tmp_path), runner="inline")
    assert release_files(tmp_path / "set") == release_files(tmp_path / "undisturbed")


def test_a_photo_that_is_added_while_another_is_gone_is_annotated(tmp_path: Path) -> None:
    draw_photos(tmp_path / "photos", 4)
    stages.run(wanted(tmp_path), runner="inline")
    shutil.move(tmp_path / "photos/00001.png", tmp_path / "hidden.png")
    draw_photos(tmp_path / "more", 9)
    for number in (6, 7, 8):
        shutil.move(tmp_path / f"more/{number:05d}.png", tmp_path / "photos")
    stages.run(wanted(tmp_path), stage="annotate", runner="inline")
    stages.run(wanted(tmp_path), stage="ingest", runner="inline")
    stages.run(wanted(tmp_path), stage="annotate", runner="inline")
    assert len(commits(tmp_path / "set", "boxes")) == 2
    with pytest.raises(RunFailed, match=r"^1 image of 1 shard cannot be read now, so no release is made"):
        stages.run(wanted(tmp_path, emit={"name": "v2"}), runner="inline")


def test_all_nodes_that_read_pixels_skip_the_shard_and_the_image_counts_once(tmp_path: Path) -> None:
    draw_photos(tmp_path / "photos", 8)
    two = {"boxes": {"use": "faulty"}, "more": {"use": "faulty", "seed": 1}, "objects": {"use": "consensus"}}
    stages.run(wanted(tmp_path), stage="ingest", runner="inline")
    (tmp_path / "photos/00001.png").unlink()
    with pytest.raises(RunFailed, match=r"^1 image of 1 shard cannot"):
        stages.run(wanted(tmp_path, annotate=two), runner="inline")
    assert [len(commits(tmp_path / "set", node)) for node in ("boxes", "more", "objects", "judge")] == [1, 1, 1, 1]


def test_retrying_failures_while_a_photo_is_gone_keeps_all_commits(tmp_path: Path) -> None:
    ids = draw_photos(tmp_path / "photos", 8)
    stages.run(wanted(tmp_path, annotate=_failing(ids[1])), stage="ingest", runner="inline")
    stages.run(wanted(tmp_path, annotate=_failing(ids[1])), runner="inline")
    before = {path: path.read_bytes() for path in commits(tmp_path / "set", "boxes")}
    (tmp_path / "photos/00001.png").unlink()
    with pytest.raises(RunFailed, match=r"^1 image of 1 shard cannot"):
        stages.run(wanted(tmp_path, annotate=_failing(ids[1])), runner="inline", retry_failed=True)
    assert {path: path.read_bytes() for path in commits(tmp_path / "set", "boxes")} == before
    assert outcomes(tmp_path / "set") == {"kept": 7, "quarantined": 1}


def _failing(image: str) -> dict[str, Any]:
    return {"boxes": {"use": "faulty", "raise_on": [image]}, "objects": {"use": "consensus"}}
