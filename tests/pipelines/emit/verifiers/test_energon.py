"""Faults that `engine verify` finds in .nv-meta/, without and with Energon itself."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine.extras import missing
from pipelines.emit.verifiers import energon_program
from pipelines.emit.verifiers.check import Check, render_checks
from pipelines.emit.verify import verify
from pipelines.emit.writers.energon import DATASET, INFO, SPLIT
from tests.pipelines.emit.small_release import annotated, drawn, full, mixed, write
from tests.pipelines.emit.test_verify import faults, restate

ENERGON = "the metadata for Energon describes the tars"
RECIPE = {"emit": {"formats": ["energon"]}}
NEEDS_ENERGON = pytest.mark.skipif(bool(missing(["megatron.energon"])), reason="megatron-energon is not installed")
pytestmark = pytest.mark.usefixtures("without_datasets")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A release that no test changes."""
    shards = [mixed(), [full(drawn("JPEG", 9)), annotated(drawn("PNG", 4))], [annotated(drawn("PNG", 10))]]
    folder = tmp_path_factory.mktemp("energon") / "v1"
    return write(folder, *shards, recipe=RECIPE, splits=["train", "train", "valid"])


@pytest.fixture
def release(tmp_path: Path, whole: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "v1"))


@pytest.fixture
def without_energon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.emit.verifiers.energon.missing", lambda names: names)


def one(checks: list[Check]) -> Check:
    (found,) = [check for check in checks if check.name == ENERGON]
    return found


def only_fault(release: Path) -> str:
    """The only fault, when the manifest has the digests of the damaged files."""
    restate(release)
    found = faults(verify(str(release)))
    assert (list(found), len(found[ENERGON])) == ([ENERGON], 1), found
    return found[ENERGON][0]


@NEEDS_ENERGON
def test_energon_reads_every_sample_of_each_part(release: Path) -> None:
    checks = verify(str(release))
    assert faults(checks) == {}, render_checks(checks)
    assert (one(checks).detail, one(checks).skipped) == ("6 samples, read with Energon", [])
    assert sorted(path.name for path in (release / ".nv-meta").iterdir()) == [
        ".info.json",
        "dataset.yaml",
        "split.yaml",
    ]
    assert not list(release.glob("*.idx"))


def test_without_energon_the_files_are_checked_and_the_rest_is_named(release: Path, without_energon: None) -> None:
    check = one(verify(str(release)))
    assert (check.faults, check.detail) == ([], "6 samples")
    (sentence,) = check.skipped
    assert sentence.startswith("Energon did not read the tars: megatron is not installed: ")
    assert "fld5b-engine[readers]" in sentence


def test_a_release_of_no_images_passes(tmp_path: Path) -> None:
    check = one(verify(str(write(tmp_path / "v1", recipe=RECIPE))))
    assert (check.faults, check.detail) == ([], "no images, nothing to read")


def test_an_index_that_the_user_made_is_no_fault(release: Path, without_energon: None) -> None:
    (release / ".nv-meta/index.sqlite").write_bytes(b"anything")
    (release / "train-00000.tar.idx").write_bytes(b"anything")
    assert faults(verify(str(release))) == {}


@pytest.mark.parametrize(
    ("name", "old", "new", "fault"),
    [
        (INFO, '"train-00001.tar": 2', '"train-00001.tar": 3', "has 3 samples of train-00001.tar, which has 2"),
        (INFO, ',\n    "valid-00000.tar": 1', "", "has None samples of valid-00000.tar, which has 1"),
        (INFO, "}", "", ": JSONDecodeError: "),
        (SPLIT, "00001", "00000", "has the tars {'train': ['train-00000.tar'], 'val': ['valid-00000.tar']}, the "),
        (SPLIT, "  val:", "  valid:", "has the tars {'train': ['train-00000.tar', 'train-00001.tar'], 'valid': "),
        (
            SPLIT,
            "  - valid-00000.tar",
            "  - valid-00000.tar\n  - valid-00000.tar",
            "'val': ['valid-00000.tar', 'valid-",
        ),
        (SPLIT, "[]", "[train-00000.tar/1]", "excludes ['train-00000.tar/1'], the release excludes no sample"),
        (SPLIT, "split_parts", "split_party", ": KeyError: 'split_parts'"),
        (DATASET, "Crude", "Cruder", "'CruderWebdataset'}, not {"),
    ],
)
def test_a_changed_file_is_a_fault(
    release: Path, without_energon: None, name: str, old: str, new: str, fault: str
) -> None:
    text = (release / name).read_text()
    assert old in text
    (release / name).write_text(text.replace(old, new, 1) if old != "}" else text.rstrip("}\n"))
    found = only_fault(release)
    assert found.startswith(name)
    assert fault in found


@pytest.mark.parametrize("name", [INFO, SPLIT, DATASET])
def test_a_missing_file_is_a_fault(release: Path, without_energon: None, name: str) -> None:
    (release / name).unlink()
    found = faults(verify(str(release)))
    assert found["files are those of the manifest"] == [f"{name} is missing"]
    assert found[ENERGON][0].startswith(f"{name}: FileNotFoundError")


def test_a_manifest_without_one_of_the_tars_is_a_fault(release: Path, without_energon: None) -> None:
    def drop(manifest: dict[str, Any]) -> None:
        manifest["files"] = [file for file in manifest["files"] if not file["name"].startswith("valid-")]

    restate(release, drop)
    assert f"{SPLIT} has the tars" in one(verify(str(release))).faults[0]


def test_a_manifest_with_another_number_of_rows_is_a_fault(release: Path, without_energon: None) -> None:
    def lie(manifest: dict[str, Any]) -> None:
        next(file for file in manifest["files"] if file["name"] == INFO)["rows"] = 2

    restate(release, lie)
    assert one(verify(str(release))).faults == [f"{INFO} has 3 rows, the manifest has 2"]


def twice(release: Path) -> None:
    """The second tar has a sample of the first."""
    shutil.copy(release / "train-00000.tar", release / "train-00001.tar")


def cut(release: Path) -> None:
    path = release / "train-00001.tar"
    path.write_bytes(path.read_bytes()[:700])


@NEEDS_ENERGON
@pytest.mark.parametrize(("damage", "fault"), [(twice, "SystemExit: 1"), (cut, "")])
def test_energon_itself_does_not_read_a_damaged_tar(release: Path, damage: Callable[[Path], None], fault: str) -> None:
    damage(release)
    answer = energon_program.ask(release, ["train", "val"])
    assert fault in answer["error"]
    assert answer["error"] or answer["parts"]["train"]["samples"] < 5


def test_a_program_that_fails_answers_with_its_last_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", shutil.which("false"))
    assert energon_program.ask(tmp_path, ["train"])["error"].startswith("it ended with exit code 1")


def test_the_digest_of_keys_depends_on_each_key_but_not_on_their_order() -> None:
    digest = energon_program.digest
    assert digest(["a", "b"]) == digest(["b", "a"]) == (digest(["a"]) + digest(["b"])) % (1 << 256)
    assert len({digest(keys) for keys in (["a"], ["b"], ["a", "a"], ["a", "b"], [])}) == 5


def test_another_sample_than_the_records_have_is_a_fault(release: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.emit.verifiers.energon.missing", lambda _: [])
    answer = {
        "parts": {
            "train": {"samples": 5, "digest": 1, "faults": ["x has the bytes of another image"]},
            "val": {"samples": 2, "digest": 1, "faults": []},
        },
        "error": "",
    }
    monkeypatch.setattr(energon_program, "ask", lambda *_: json.loads(json.dumps(answer)))
    assert one(verify(str(release))).faults == [
        "part train: x has the bytes of another image",
        "Energon reads other samples of train than the records are of",
        "Energon reads 2 samples of val, 1 are there",
    ]
