"""Images whose bytes cannot be read when a release is made."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from engine.errors import RunFailed
from tests.pipelines.emit.emitted import GIVE_UP, check, draw, run, tars, up_to_emit, wanted
from tests.pipelines.emit.small_release import drawn
from tests.runs import released_ids


def test_a_photo_that_is_gone_or_changed_since_it_was_annotated_is_left_out_and_listed_as_lost(
    tmp_path: Path, without_datasets: None
) -> None:
    ids = draw(tmp_path / "photos")
    up_to_emit(wanted(tmp_path))
    (tmp_path / "photos/00002.photo").unlink()
    (tmp_path / "photos/00005.photo").write_bytes(drawn("PNG", 99))
    written = run(wanted(tmp_path, run=GIVE_UP), stage="emit")
    assert written["lost"] == [[ids[2], "missing"], [ids[5], "changed"]]
    assert released_ids(tmp_path / "set") == set(ids) - {ids[2], ids[5]}
    assert written["counts"]["images"] == 8
    check(tmp_path / "set/releases/v1")


def test_a_shard_without_readable_photos_is_left_out(tmp_path: Path, without_torch: None) -> None:
    webdataset = pytest.importorskip("webdataset")
    pytest.importorskip("datasets")
    ids = draw(tmp_path / "photos")
    up_to_emit(wanted(tmp_path))
    for number in range(4, 8):
        (tmp_path / f"photos/{number:05d}.photo").unlink()
    written = run(wanted(tmp_path, run=GIVE_UP), stage="emit")
    assert [image for image, _ in written["lost"]] == ids[4:8]
    release = tmp_path / "set/releases/v1"
    assert len(tars(release)) == 2
    check(release, with_datasets=True)
    # The card must name the existing tars, although a number is missing.
    pattern = re.findall(r'WebDataset\("v1/([^"]+)"', (release / "README.md").read_text())[0]
    samples = webdataset.WebDataset(str(release / pattern), shardshuffle=False)
    assert {sample["__key__"] for sample in samples} == released_ids(tmp_path / "set")


def test_a_release_without_readable_photos_is_made_only_with_allow_empty(
    tmp_path: Path, without_datasets: None
) -> None:
    ids = draw(tmp_path / "photos", 5)
    up_to_emit(wanted(tmp_path))
    shutil.rmtree(tmp_path / "photos")
    with pytest.raises(RunFailed, match="No image is left to release"):
        run(wanted(tmp_path, run=GIVE_UP), stage="emit")
    written = run(wanted(tmp_path, run=GIVE_UP, emit={"name": "v1", "allow_empty": True}), stage="emit")
    assert written["lost"] == [[image, "missing"] for image in ids]
    assert written["files"] == []
    check(tmp_path / "set/releases/v1", with_datasets=True)
