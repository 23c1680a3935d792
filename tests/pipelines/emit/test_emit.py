"""Releases from end to end, in this process: finished, found again, cut short, gone on with; each opened by `verify`.

The photos are of three formats, in shards of four. `datasets` is asked by few tests only, as it takes seconds.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import socket
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from engine.errors import ConfigError, RunFailed
from engine.images.decode import image_id
from engine.storage.sealed import unseal
from pipelines.emit import emit, verify
from pipelines.emit.shard import ShardFiles, write_shard
from pipelines.recipe import Recipe
from pipelines.stages import run as stages
from pipelines.stages.dry_run import dry_run
from tests.pipelines.emit.small_release import drawn
from tests.runs import recipe, release_files, released_ids

_FORMATS = ("JPEG", "PNG", "WEBP")
GIVE_UP = {"missing": "fail"}


@pytest.fixture
def unheard(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without `datasets`: its two checks fail, and `check` passes over them."""
    monkeypatch.setattr("pipelines.emit.verify.ask", lambda *_: {"error": "not asked"})


def draw(folder: Path, count: int = 10) -> list[str]:
    """Image ids in listing order: jpg, png, webp, jpg, ... whatever they are called."""
    folder.mkdir()
    contents = [drawn(_FORMATS[number % 3], number) for number in range(count)]
    for number, data in enumerate(contents):
        (folder / f"{number:05d}.photo").write_bytes(data)
    return [image_id(data) for data in contents]


def wanted(tmp_path: Path, dataset: str = "set", name: str = "v1", **changes: Any) -> Recipe:
    photos = tmp_path / "photos"
    ingest = {"sources": [{"folder": str(photos)}], "shard_size": 4}
    return recipe(tmp_path / dataset, photos, {}, **{"ingest": ingest, "emit": {"name": name}, **changes})


def run(recipe: Recipe, **options: Any) -> dict[str, Any]:
    """The manifest."""
    return stages.run(recipe, runner="local", **options).manifest


def up_to_emit(recipe: Recipe) -> None:
    for stage in ("ingest", "annotate", "filter"):
        run(recipe, stage=stage)


def check(folder: Path, *, asked: bool = False) -> None:
    """Every check passes; those of `datasets` too if it was asked."""
    checks = [check for check in verify.verify(str(folder)) if asked or "datasets reads" not in check.name]
    assert all(check.ok for check in checks), verify.render_checks(checks)


def tars(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*.tar"))


def state(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in folder.iterdir()}


# --- a release that was never disturbed ------------------------------------------------------------


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
    check(release, asked=True)


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


def test_a_name_that_holds_other_content_is_refused_and_left_alone(tmp_path: Path) -> None:
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
    nothing = {"filter": [{"min_side": {"pixels": 9999}}]}
    with pytest.raises(RunFailed, match=r"No release is made, because no image is left for one: 10 inputs are 10 filt"):
        run(wanted(tmp_path, **nothing))
    assert not (tmp_path / "set/releases").exists()
    written = run(wanted(tmp_path, emit={"name": "v1", "allow_empty": True}, **nothing))
    release = tmp_path / "set/releases/v1"
    assert sorted(path.name for path in release.iterdir()) == ["README.md", "manifest.json"]
    assert (written["counts"]["images"], written["files"]) == (0, [])
    check(release, asked=True)


def test_a_release_of_audit_images_alone_is_refused_and_says_so(tmp_path: Path) -> None:
    draw(tmp_path / "photos", 3)
    (tmp_path / "audit.txt").write_text("".join(f"{path.name}\n" for path in (tmp_path / "photos").iterdir()))
    audit = {"sources": [{"folder": str(tmp_path / "photos")}], "audit": {"list": str(tmp_path / "audit.txt")}}
    with pytest.raises(RunFailed, match=r"3 inputs are 3 kept, 3 of them only to measure with \(ingest.audit\)"):
        run(wanted(tmp_path, ingest=audit))


def test_a_shard_of_which_nothing_is_kept_leaves_no_gap_in_the_numbers(tmp_path: Path, unheard: None) -> None:
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


# --- images that are gone --------------------------------------------------------------------------


def test_a_photo_that_is_gone_or_changed_since_it_was_annotated_is_left_out_and_named(
    tmp_path: Path, unheard: None
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


def test_a_shard_of_which_every_photo_is_gone_is_left_out(tmp_path: Path) -> None:
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
    check(release, asked=True)
    # The card must name the tars that are there, whatever their numbers.
    told = re.findall(r'WebDataset\("v1/([^"]+)"', (release / "README.md").read_text())[0]
    samples = webdataset.WebDataset(str(release / told), shardshuffle=False)
    assert {sample["__key__"] for sample in samples} == released_ids(tmp_path / "set")


def test_a_release_of_which_every_photo_is_gone_is_made_on_request_alone(tmp_path: Path, unheard: None) -> None:
    ids = draw(tmp_path / "photos", 5)
    up_to_emit(wanted(tmp_path))
    shutil.rmtree(tmp_path / "photos")
    with pytest.raises(RunFailed, match="no image is left for one"):
        run(wanted(tmp_path, run=GIVE_UP), stage="emit")
    written = run(wanted(tmp_path, run=GIVE_UP, emit={"name": "v1", "allow_empty": True}), stage="emit")
    assert written["lost"] == [[image, "missing"] for image in ids]
    assert written["files"] == []
    check(tmp_path / "set/releases/v1", asked=True)


# --- cut short, and gone on with -------------------------------------------------------------------


def test_an_emit_that_was_killed_within_a_tar_is_completed_with_the_same_bytes(
    tmp_path: Path, unheard: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw(tmp_path / "photos")
    run(wanted(tmp_path, "undisturbed"))
    shards: list[str] = []

    def killed(files: ShardFiles, *arguments: Any) -> Any:
        shards.append(files.tar)
        if len(shards) == 2:
            Path(files.tar).write_bytes(b"half a tar")
            raise KeyboardInterrupt
        return write_shard(files, *arguments)

    monkeypatch.setattr(emit, "write_shard", killed)
    with pytest.raises(KeyboardInterrupt):
        run(wanted(tmp_path))
    release = tmp_path / "set/releases/v1"
    assert tars(release) == ["train-00000.tar"]
    assert not (release / "manifest.json").exists()
    run(wanted(tmp_path))
    assert len(shards) == 4, "the shard that was committed is not made again"
    assert release_files(tmp_path / "set") == release_files(tmp_path / "undisturbed")
    check(release)


@pytest.mark.parametrize("damage", ["gone", "cut", "other bytes"])
@pytest.mark.parametrize("name", ["train-00001.tar", "pairs-00001.parquet"])
def test_a_committed_shard_whose_file_was_damaged_before_the_manifest_is_written_again(
    tmp_path: Path, unheard: None, name: str, damage: str
) -> None:
    draw(tmp_path / "photos")
    run(wanted(tmp_path))
    release = tmp_path / "set/releases/v1"
    before = release_files(tmp_path / "set")
    (release / "manifest.json").unlink()
    file = release / name
    data = file.read_bytes()
    file.unlink()
    if damage != "gone":
        file.write_bytes(data[:700] if damage == "cut" else data[:-1] + b"x")
    run(wanted(tmp_path))
    assert release_files(tmp_path / "set") == before
    check(release)


@pytest.mark.parametrize("damage", ["gone", "cut"])
def test_a_finished_release_with_a_damaged_file_is_made_again_and_told(
    tmp_path: Path, unheard: None, damage: str
) -> None:
    draw(tmp_path / "photos")
    run(wanted(tmp_path))
    before = release_files(tmp_path / "set")
    file = tmp_path / "set/releases/v1/train-00000.tar"
    file.unlink() if damage == "gone" else os.truncate(file, 1)
    assert dry_run(wanted(tmp_path))[-1]["why"].startswith("'releases/v1/train-00000.tar' ")
    told: list[str] = []
    run(wanted(tmp_path), tell=told.append)
    assert dry_run(wanted(tmp_path))[-1]["why"] == "up to date"
    assert release_files(tmp_path / "set") == before
    assert [re.sub(r"[\d,]+ bytes", "N bytes", one) for one in told] == [
        "'releases/v1/train-00000.tar' is gone: the release is made again."
        if damage == "gone"
        else f"'releases/v1/train-00000.tar' has N bytes, the manifest says {file.stat().st_size:,}: "
        "the release is made again."
    ]


def test_a_release_folder_that_was_deleted_is_made_again(tmp_path: Path, unheard: None) -> None:
    draw(tmp_path / "photos")
    run(wanted(tmp_path))
    before = release_files(tmp_path / "set")
    shutil.rmtree(tmp_path / "set/releases/v1")
    run(wanted(tmp_path))
    assert release_files(tmp_path / "set") == before
    check(tmp_path / "set/releases/v1")


def test_shards_of_an_abandoned_attempt_under_the_same_name_do_not_stay(tmp_path: Path, unheard: None) -> None:
    draw(tmp_path / "photos")
    run(wanted(tmp_path))
    release = tmp_path / "set/releases/v1"
    (release / "manifest.json").unlink()
    before = release_files(tmp_path / "set")
    shutil.copy(release / "train-00000.tar", release / "train-00007.tar")
    shutil.copy(release / "pairs-00000.parquet", release / "pairs-00007.parquet")
    run(wanted(tmp_path))
    assert release_files(tmp_path / "set") == before
    check(release)


def test_what_a_killed_process_was_writing_does_not_stay(tmp_path: Path, unheard: None) -> None:
    draw(tmp_path / "photos", 3)
    up_to_emit(wanted(tmp_path))
    release = tmp_path / "set/releases/v1"
    release.mkdir(parents=True)
    dead = subprocess.Popen(["true"])
    dead.wait()
    finished = next((tmp_path / "set/boxes").iterdir())  # of which nothing is to do
    for folder in (release, finished, tmp_path / "set"):
        (folder / f".tmp-{socket.gethostname()}-{dead.pid}-0a1b2c3d").write_bytes(b"half a file")
    run(wanted(tmp_path))
    assert list((tmp_path / "set").rglob(".*")) == []


# --- images that are looked at again ---------------------------------------------------------------


def test_what_failed_and_was_looked_at_again_goes_into_a_release_of_another_name(tmp_path: Path, unheard: None) -> None:
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


def test_photos_added_later_go_into_new_shards_of_a_new_release(tmp_path: Path, unheard: None) -> None:
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
    said = run(wanted(tmp_path))["accounting"]
    assert said.pop("inputs") == sum(said.values()) == 11


def test_the_manifest_counts_what_the_tables_hold(tmp_path: Path) -> None:
    draw(tmp_path / "photos")
    written = run(wanted(tmp_path))
    release = tmp_path / "set/releases/v1"
    rows = [row for path in sorted(release.glob("train-*.parquet")) for row in pq.read_table(path).to_pylist()]
    counts = verify.count_annotations(rows)
    assert {name: count for name, count in written["counts"].items() if count} == dict(+counts)
    assert unseal((release / "manifest.json").read_bytes()) == written
