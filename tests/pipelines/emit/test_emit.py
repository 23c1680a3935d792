"""Whole releases: their content, names, shard numbers and counts."""

from __future__ import annotations

import hashlib
import shutil
import tarfile
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from engine.errors import ConfigError, RunFailed
from engine.storage.sealed import unseal
from pipelines.emit.verifiers.records import count_annotations
from tests.pipelines.emit.emitted import GIVE_UP, check, draw, run, state, tars, wanted
from tests.pipelines.emit.small_release import drawn
from tests.runs import release_files, released_ids


def test_photos_of_three_formats_are_released_as_they_are_and_load_everywhere(tmp_path: Path) -> None:
    pytest.importorskip("datasets")
    pytest.importorskip("webdataset")
    ids = draw(tmp_path / "photos")
    written = run(wanted(tmp_path))
    release = tmp_path / "set/releases/v1"
    held: dict[str, str] = {}
    for name in tars(release):
        with tarfile.open(release / name) as tar:
            for member in tar:
                key, _, ending = member.name.partition(".")
                file = tar.extractfile(member)
                if file and ending != "json":
                    held[ending + key] = hashlib.sha256(file.read()).hexdigest()[:32]
    endings = ("jpg", "png", "webp")
    assert held == {endings[number % 3] + key: key for number, key in enumerate(ids)}
    assert written["image_extensions"] == list(endings)
    assert written["counts"]["images"] == 10
    check(release, with_datasets=True)


def test_the_same_photos_give_the_same_bytes(tmp_path: Path) -> None:
    draw(tmp_path / "photos")
    for dataset in ("one", "two"):
        run(wanted(tmp_path, dataset))
    assert release_files(tmp_path / "one") == release_files(tmp_path / "two")
    assert len(release_files(tmp_path / "one")) == 9  # a tar, a table and pairs of each shard


def test_a_finished_release_is_found_and_not_written_again(tmp_path: Path) -> None:
    draw(tmp_path / "photos")
    first = run(wanted(tmp_path))
    before = state(tmp_path / "set/releases/v1")
    assert run(wanted(tmp_path)) == first
    assert run(wanted(tmp_path), stage="emit") == first
    assert state(tmp_path / "set/releases/v1") == before


def test_a_name_with_other_content_is_refused_and_its_release_unchanged(tmp_path: Path) -> None:
    draw(tmp_path / "photos")
    run(wanted(tmp_path))
    before = state(tmp_path / "set/releases/v1")
    with pytest.raises(ConfigError, match=r"^The release 'v1' exists and holds other content: .*\.$"):
        run(wanted(tmp_path, filter=[{"min_score": {"floor": 0.9}}]))
    assert state(tmp_path / "set/releases/v1") == before


def test_a_release_without_a_name_is_named_by_its_content(tmp_path: Path) -> None:
    draw(tmp_path / "photos", 3)
    written = run(wanted(tmp_path, name=""))
    assert written["name"] == f"r-{written['content'][:8]}"
    assert (tmp_path / "set/releases" / written["name"] / "manifest.json").exists()


def test_a_release_of_no_images_is_a_card_and_a_manifest(tmp_path: Path) -> None:
    draw(tmp_path / "photos")
    nothing: dict[str, Any] = {"filter": [{"min_side": {"pixels": 9999}}]}
    with pytest.raises(RunFailed, match=r"No image is left to release: 10 inputs are 10 filt"):
        run(wanted(tmp_path, **nothing))
    assert not (tmp_path / "set/releases").exists()
    written = run(wanted(tmp_path, emit={"name": "v1", "allow_empty": True}, **nothing))
    release = tmp_path / "set/releases/v1"
    assert sorted(path.name for path in release.iterdir()) == ["README.md", "manifest.json"]
    assert (written["counts"]["images"], written["files"]) == (0, [])
    check(release, with_datasets=True)


def test_a_release_of_audit_images_only_is_refused(tmp_path: Path) -> None:
    draw(tmp_path / "photos", 3)
    (tmp_path / "audit.txt").write_text("".join(f"{path.name}\n" for path in (tmp_path / "photos").iterdir()))
    audit = {"sources": [{"folder": str(tmp_path / "photos")}], "audit": {"list": str(tmp_path / "audit.txt")}}
    with pytest.raises(RunFailed, match=r"3 inputs are 3 kept, 3 of them only to measure with \(ingest.audit\)"):
        run(wanted(tmp_path, ingest=audit))


def test_a_shard_without_kept_images_leaves_no_gap_in_the_numbers(tmp_path: Path, without_datasets: None) -> None:
    photos = tmp_path / "photos"
    draw(photos, 12)
    for number in range(4, 8):  # the whole of the second shard; 60 x 40 like all the others, but not as wide
        shutil.copy(_narrow(tmp_path, number), photos / f"{number:05d}.photo")
    written = run(wanted(tmp_path, filter=[{"min_side": {"pixels": 40}}]))
    assert tars(tmp_path / "set/releases/v1") == ["train-00000.tar", "train-00001.tar"]
    assert written["counts"]["images"] == 8
    check(tmp_path / "set/releases/v1")


def _narrow(folder: Path, shade: int) -> Path:
    from PIL import Image

    path = folder / f"narrow-{shade}.png"
    Image.new("RGB", (9, 40), (shade, 90, 20)).save(path)
    return path


def test_images_that_are_annotated_after_a_failure_go_into_a_release_of_another_name(
    tmp_path: Path, without_datasets: None
) -> None:
    ids = draw(tmp_path / "photos")
    run(wanted(tmp_path), stage="ingest")
    hidden = tmp_path / "photos/00005.photo"
    data = hidden.read_bytes()
    hidden.unlink()
    run(wanted(tmp_path, run=GIVE_UP), stage="annotate")
    hidden.write_bytes(data)
    run(wanted(tmp_path), stage="filter")
    run(wanted(tmp_path), stage="emit")
    run(wanted(tmp_path, name="v2"), retry_failed=True)
    assert released_ids(tmp_path / "set") == set(ids) - {ids[5]}
    assert released_ids(tmp_path / "set", "v2") == set(ids)
    for name in ("v1", "v2"):
        check(tmp_path / "set/releases" / name)


def test_photos_added_later_go_into_new_shards_of_a_new_release(tmp_path: Path, without_datasets: None) -> None:
    draw(tmp_path / "photos", 4)
    run(wanted(tmp_path))
    (tmp_path / "photos/later.photo").write_bytes(drawn("PNG", 200))
    run(wanted(tmp_path, name="v2"))
    first, second = release_files(tmp_path / "set"), release_files(tmp_path / "set", "v2")
    assert {name: second[name] for name in first} == first
    assert len(second) == 6
    check(tmp_path / "set/releases/v2")


def test_the_manifest_accounts_for_every_input(tmp_path: Path) -> None:
    draw(tmp_path / "photos")
    (tmp_path / "photos/notes.txt").write_text("no image")
    counts = run(wanted(tmp_path))["accounting"]
    assert counts.pop("inputs") == sum(counts.values()) == 11


def test_the_manifest_counts_the_rows_of_the_tables(tmp_path: Path) -> None:
    draw(tmp_path / "photos")
    written = run(wanted(tmp_path))
    release = tmp_path / "set/releases/v1"
    rows = [row for path in sorted(release.glob("train-*.parquet")) for row in pq.read_table(path).to_pylist()]
    counts = count_annotations(rows)
    assert {name: count for name, count in written["counts"].items() if count} == dict(+counts)
    assert unseal((release / "manifest.json").read_bytes()) == written
