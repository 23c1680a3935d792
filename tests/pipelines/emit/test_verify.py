"""What `engine verify` finds: each test breaks one promise of a release and expects a fault of one check."""

from __future__ import annotations

import io
import json
import os
import random
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from engine.errors import ConfigError, DamageError
from engine.reading.release_manifest import sealed_manifest
from engine.storage.files import sha256_file
from pipelines.emit.verifiers.check import Check, render_checks
from pipelines.emit.verify import verify
from tests.builders import image_score, phrase, region, region_text, tag, text
from tests.pipelines.emit.small_release import Item, annotated, drawn, full, mixed, write

FILES, TARS, TABLES, RECORDS = "files are", "webdataset reads", "pyarrow reads", "annotations refer"
DATASETS = "datasets reads the tars"


def faults(checks: list[Check]) -> dict[str, list[str]]:
    """The faults of each failed check, without those of `datasets`."""
    return {check.name: check.faults for check in checks if not check.ok and "datasets reads" not in check.name}


def only(checks: list[Check], begins: str) -> str:
    """The only fault, of the only check that failed."""
    failed = faults(checks)
    assert len(failed) == 1, render_checks(checks)
    (name, sentences), *_ = failed.items()
    assert name.startswith(begins)
    assert len(sentences) == 1, sentences
    return sentences[0]


def broken(tmp_path: Path, **columns: Any) -> list[Check]:
    """The checks of a release of one image with these annotations."""
    return verify(str(write(tmp_path / "v1", [annotated(drawn(), **columns)])))


def restate(folder: Path, change: Callable[[dict[str, Any]], None] = lambda _: None) -> None:
    """Rewrites the sizes and digests in the manifest, so that only what the test broke is wrong."""
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    for file in manifest["files"]:
        file["bytes"], file["sha256"] = (folder / file["name"]).stat().st_size, sha256_file(str(folder / file["name"]))
    change(manifest)
    path.write_text(json.dumps(manifest))


def flip(path: Path, position: int) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= 0xFF
    path.write_bytes(data)


@pytest.fixture(scope="module")
def verified(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Check], set[str]]:
    """The checks of a release without faults, and the files that were in it, or at home, only afterwards."""
    pytest.importorskip("datasets")
    pytest.importorskip("webdataset")
    home, temporary = tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("tmp")
    folder = write(tmp_path_factory.mktemp("verified") / "v1", mixed(), [full(drawn("PNG", 9))])
    before = set(os.listdir(folder))
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("HF_")]:
            patch.delenv(name)
        patch.setenv("HOME", str(home))
        patch.setattr("tempfile.tempdir", str(temporary))
        checks = verify(str(folder))
    return checks, before ^ {name for place in (folder, home, temporary) for name in os.listdir(place)}


def test_a_release_whose_first_image_has_no_annotation_passes_every_check(
    verified: tuple[list[Check], set[str]],
) -> None:
    checks, _ = verified
    assert all(check.ok for check in checks), render_checks(checks)
    assert {check.name: check.detail for check in checks}[DATASETS] == "4 streamed, 4 loaded"


def test_verifying_leaves_nothing_in_the_home_or_the_release(verified: tuple[list[Check], set[str]]) -> None:
    assert verified[1] == set()


def test_a_release_of_no_images_passes_every_check(tmp_path: Path) -> None:
    assert faults(verify(str(write(tmp_path / "v1")))) == {}


def test_datasets_without_the_card_is_reported(tmp_path: Path, without_torch: None) -> None:
    """Without the card, `datasets` infers features from the first samples, and later samples do not fit them."""
    pytest.importorskip("datasets")
    folder = write(tmp_path / "v1", mixed())
    (folder / "README.md").unlink()
    found = {check.name: check.faults for check in verify(str(folder))}
    assert "no column of images" in found[DATASETS][0]
    assert found["files are those of the manifest"] == [
        "README.md is missing: `datasets` would guess the features and fail"
    ]


@pytest.mark.usefixtures("without_datasets")
class TestFiles:
    def test_a_flipped_byte_of_an_image_is_found_in_the_file_and_in_the_image(self, tmp_path: Path) -> None:
        folder = write(tmp_path / "v1", [full(drawn("BMP"))])
        flip(folder / "train-00000.tar", 512 + 1000)
        found = faults(verify(str(folder)))
        assert found["files are those of the manifest"][0].startswith("train-00000.tar has sha256")
        assert any("the bytes of" in fault for sentences in found.values() for fault in sentences)

    def test_a_flipped_byte_that_agrees_with_the_manifest_is_found_by_the_image_id(self, tmp_path: Path) -> None:
        folder = write(tmp_path / "v1", [full(drawn("BMP"))])
        flip(folder / "train-00000.tar", 512 + 1000)
        restate(folder)
        assert "are not in train-00000.tar at 512" in only(verify(str(folder)), TABLES)

    def test_a_missing_file_is_reported_by_name(self, tmp_path: Path) -> None:
        folder = write(tmp_path / "v1", [full(drawn())])
        (folder / "train-00000.parquet").unlink()
        found = faults(verify(str(folder)))
        assert found["files are those of the manifest"] == ["train-00000.parquet is missing"]

    def test_a_truncated_file_is_found_by_its_size(self, tmp_path: Path) -> None:
        folder = write(tmp_path / "v1", [full(drawn())])
        path = folder / "train-00000.tar"
        path.write_bytes(path.read_bytes()[:-512])
        assert only(verify(str(folder)), FILES).startswith("train-00000.tar has 9728 bytes, the manifest has 10240")

    def test_a_stray_shard_that_loaders_would_read_is_reported(self, tmp_path: Path) -> None:
        folder = write(tmp_path / "v1", [full(drawn())])
        (folder / "train-00007.tar").write_bytes(b"")
        assert only(verify(str(folder)), FILES) == "train-00007.tar is not in the manifest"

    def test_a_key_in_two_shards_is_reported(self, tmp_path: Path) -> None:
        item = full(drawn())
        folder = write(tmp_path / "v1", [item], [full(drawn("JPEG", 5)), item])
        assert "occurs twice" in only(verify(str(folder)), TARS)

    def test_a_dotted_key_is_reported(self, tmp_path: Path) -> None:
        folder = write(tmp_path / "v1", [full(drawn())])
        members = rename(folder / "train-00000.tar", lambda name: name.replace(".", ".x.", 1))
        restate(folder)
        found = faults(verify(str(folder)))
        assert members == 2
        assert any("not one image and its json" in fault for sentences in found.values() for fault in sentences)

    def test_an_image_without_its_json_is_reported(self, tmp_path: Path) -> None:
        folder = write(tmp_path / "v1", mixed())
        key = rewrite(folder / "train-00000.tar", lambda members: members[:3] + members[4:])[2][:32]
        restate(folder)
        found = faults(verify(str(folder)))["webdataset reads every sample and decodes its image"]
        assert found == [f"train-00000.tar holds '{key}' with png, not one image and its json"]

    def test_a_json_without_its_image_is_reported(self, tmp_path: Path) -> None:
        folder = write(tmp_path / "v1", mixed())
        rewrite(folder / "train-00000.tar", lambda members: members[1:])
        restate(folder)
        found = faults(verify(str(folder)))["webdataset reads every sample and decodes its image"]
        assert found[0].endswith("with json, not one image and its json")

    @pytest.mark.parametrize("where", ["at once", "later"])
    def test_a_key_twice_in_one_tar_is_reported(self, tmp_path: Path, where: str) -> None:
        folder = write(tmp_path / "v1", mixed())
        twice = {"at once": lambda m: m[:2] + m, "later": lambda m: m + m[:2]}[where]
        rewrite(folder / "train-00000.tar", twice)
        restate(folder)
        found = faults(verify(str(folder)))["webdataset reads every sample and decodes its image"]
        assert any("twice" in fault or "duplicate" in fault for fault in found), found

    def test_rows_in_another_order_than_the_tar_are_reported(self, tmp_path: Path) -> None:
        folder = write(tmp_path / "v1", mixed())
        table = pq.read_table(folder / "train-00000.parquet")
        pq.write_table(table.take([1, 0, 2]), folder / "train-00000.parquet")
        restate(folder)
        assert "in another order" in only(verify(str(folder)), TABLES)

    def test_an_image_of_another_size_than_its_record_is_reported(self, tmp_path: Path) -> None:
        data, image = full(drawn("PNG", 1, orientation=6))
        wrong = drawn("PNG", 1).ljust(len(data), b"\0")
        folder = write(tmp_path / "v1", [(data, image)])
        path = folder / "train-00000.tar"
        path.write_bytes(path.read_bytes().replace(data, wrong))
        restate(folder)
        found = faults(verify(str(folder)))["webdataset reads every sample and decodes its image"]
        assert found[0].endswith("decodes to 60x40 upright, its json has 40x60")

    def test_wrong_counts_in_the_manifest_are_reported(self, tmp_path: Path) -> None:
        folder = write(tmp_path / "v1", [full(drawn())])
        restate(folder, lambda manifest: manifest["counts"].update({"texts.brief": 7}))
        assert only(verify(str(folder)), RECORDS) == "2 texts.brief found, the manifest has 7"


Member = tuple[tarfile.TarInfo, bytes]


def rewrite(path: Path, change: Callable[[list[Member]], list[Member]]) -> list[str]:
    """Rewrites a tar with other members; returns the names it had before."""
    with tarfile.open(path) as tar:
        members = [(member, file.read()) for member in tar if (file := tar.extractfile(member))]
    before = [member.name for member, _ in members]
    with tarfile.open(path, "w") as tar:
        for member, data in change(members):
            tar.addfile(member, io.BytesIO(data))
    return before


def rename(path: Path, name: Callable[[str], str]) -> int:
    """Rewrites a tar with other member names; returns how many there were."""

    def renamed(members: list[Member]) -> list[Member]:
        for member, _ in members:
            member.name = name(member.name)
        return members

    return len(rewrite(path, renamed))


@pytest.mark.usefixtures("without_datasets")
class TestRecords:
    def test_a_phrase_beyond_its_text_is_reported(self, tmp_path: Path) -> None:
        checks = broken(tmp_path, texts=[text("A cat.", id="m/0")], phrases=[phrase("m/0", 2, 9, id="m/1")])
        assert only(checks, RECORDS).endswith(": m/1 spans 2 to 9 of 6 characters")

    def test_a_span_is_counted_in_code_points(self, tmp_path: Path) -> None:
        checks = broken(tmp_path, texts=[text("Un 🐈.", id="m/0")], phrases=[phrase("m/0", 3, 5, id="m/1")])
        assert faults(checks) == {}

    def test_a_phrase_of_a_text_that_was_dropped_is_reported(self, tmp_path: Path) -> None:
        assert "is of m/9, which is not there" in only(broken(tmp_path, phrases=[phrase("m/9")]), RECORDS)

    def test_a_phrase_that_names_a_dropped_region_is_reported(self, tmp_path: Path) -> None:
        checks = broken(tmp_path, texts=[text(id="m/0")], phrases=[phrase("m/0", region_ids=["m/8"])])
        assert "names m/8, which is not there" in only(checks, RECORDS)

    def test_a_region_text_of_a_dropped_region_is_reported(self, tmp_path: Path) -> None:
        assert "is of m/8, which is not there" in only(broken(tmp_path, region_texts=[region_text("m/8")]), RECORDS)

    def test_a_box_outside_its_image_is_reported(self, tmp_path: Path) -> None:
        checks = broken(tmp_path, regions=[region((10, 10, 90, 30), id="m/0")])
        assert only(checks, RECORDS).endswith("the box of m/0 does not lie in the 60x40 image")

    def test_a_box_that_people_drew_beyond_the_image_is_counted_and_is_no_fault(self, tmp_path: Path) -> None:
        checks = broken(tmp_path, regions=[region((10, 10, 90, 30), score=None)])
        assert faults(checks) == {}
        (records,) = (check for check in checks if check.name == "annotations refer to what is there")
        assert records.detail == "1 annotations; 1 boxes that people drew leave their image"

    def test_an_annotation_id_that_occurs_twice_is_reported(self, tmp_path: Path) -> None:
        checks = broken(tmp_path, tags=[tag(id="m/0")], image_scores=[image_score(id="m/0")])
        assert "the annotation id m/0 occurs 2 times" in only(checks, RECORDS)


def test_a_flipped_bit_anywhere_in_a_manifest_is_reported(tmp_path: Path) -> None:
    path = write(tmp_path / "v1", [full(drawn())]) / "manifest.json"
    data, choice = sealed_manifest(json.loads(path.read_bytes()), b""), random.Random(3)
    for _ in range(60):
        at = choice.randrange(len(data))
        path.write_bytes(data[:at] + bytes([data[at] ^ 1 << choice.randrange(8)]) + data[at + 1 :])
        with pytest.raises(DamageError, match=r"manifest\.json' (is no longer JSON|was changed since)"):
            verify(str(path.parent))


def test_a_card_of_another_release_is_reported(tmp_path: Path, without_datasets: None) -> None:
    folder = write(tmp_path / "v1", [full(drawn())])
    written = json.loads((folder / "manifest.json").read_bytes())
    (folder / "manifest.json").write_bytes(sealed_manifest(written, b"another card"))
    assert faults(verify(str(folder)))["files are those of the manifest"] == [
        "README.md is not the one that was written with the release: `datasets` may read by it"
    ]


class TestMissing:
    def test_without_webdataset_the_fault_is_what_to_install(
        self, tmp_path: Path, without_datasets: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "webdataset", None)
        checks = verify(str(write(tmp_path / "v1", [full(drawn())])))
        fault = only(checks, TARS)
        assert fault.startswith("webdataset is not installed: ")
        assert fault.endswith("'fld5b-engine[loaders]'")

    def test_without_datasets_the_fault_is_what_to_install(
        self, tmp_path: Path, without_torch: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        absent = tmp_path / "absent"
        absent.mkdir()
        (absent / "datasets.py").write_text("raise ModuleNotFoundError('gone', name='datasets')")
        monkeypatch.setenv("PYTHONPATH", str(absent))
        item: Item = full(drawn())
        found = {check.name: check.faults for check in verify(str(write(tmp_path / "v1", [item])))}
        fault = found[DATASETS][0]
        assert fault.startswith("datasets is not installed: ")
        assert fault.endswith("'fld5b-engine[loaders]'")

    def test_a_folder_without_a_manifest_is_no_release(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match=r"No finished release at .*: it has no manifest\.json"):
            verify(str(tmp_path))
        with pytest.raises(ConfigError, match="there is no such folder; give the path of a release"):
            verify(str(tmp_path / "releases/v1"))

    def test_a_data_set_is_no_release_and_one_of_its_releases_is_named(self, tmp_path: Path) -> None:
        for name in ("v1", "v2"):
            (tmp_path / "releases" / name).mkdir(parents=True)
            (tmp_path / "releases" / name / "manifest.json").touch()
        with pytest.raises(ConfigError, match=r"it is a data set; give one of its releases, such as '.*/releases/v2'"):
            verify(str(tmp_path))

    def test_a_manifest_that_is_not_json_is_one_sentence(self, tmp_path: Path) -> None:
        (tmp_path / "manifest.json").write_text("{")
        with pytest.raises(DamageError, match=r"manifest\.json' is no longer JSON"):
            verify(str(tmp_path))


def test_a_release_too_large_to_copy_is_streamed_whole_and_loaded_by_one_shard(
    tmp_path: Path, without_torch: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("datasets")
    monkeypatch.setattr("pipelines.emit.verifiers.datasets.COPIED", 0)
    checks = verify(str(write(tmp_path / "v1", mixed(), [full(drawn("JPEG", 9))])))
    assert {check.name: (check.ok, check.detail) for check in checks}[DATASETS] == (True, "4 streamed, 3 loaded")


def test_a_remote_release_is_copied_first(tmp_path: Path, without_datasets: None) -> None:
    import fsspec

    folder = write(tmp_path / "v1", mixed())
    memory = fsspec.filesystem("memory")
    memory.put(str(folder), "/releases/v1", recursive=True)
    checks = verify("simplecache::memory://releases/v1")
    assert faults(checks) == {}
    assert checks[1].detail == "3 samples"


def test_an_image_with_broken_exif_is_upright_as_it_is_stored(tmp_path: Path, without_datasets: None) -> None:
    good = drawn("JPEG", orientation=6)
    data = good.replace(b"Exif\0\0MM\0*", b"Exif\0\0\xff\xff\xff\xff")
    assert data != good
    assert faults(verify(str(write(tmp_path / "v1", [full(data)])))) == {}
