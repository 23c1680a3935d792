"""The proof that `engine verify` writes beside a release."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from pipelines.check.check import check as check_data_set
from pipelines.emit.proof import write_proof
from pipelines.emit.verify import verify
from tests.pipelines.emit.emitted import draw, run, wanted


@pytest.mark.usefixtures("without_datasets")
class TestProof:
    def test_it_holds_every_check_the_manifest_and_the_readers(self, tmp_path: Path) -> None:
        draw(tmp_path / "photos", 3)
        run(wanted(tmp_path))
        release = tmp_path / "set/releases/v1"
        checks = verify(str(release))
        path = Path(write_proof(str(release), checks))
        assert path == tmp_path / "set/releases/v1.verified.json"
        proof = json.loads(path.read_text())
        assert proof["manifest_sha256"] == hashlib.sha256((release / "manifest.json").read_bytes()).hexdigest()
        assert [check["name"] for check in proof["checks"]] == [check.name for check in checks]
        assert proof["ok"] is False, "the fixture makes the checks by datasets fail"
        assert "webdataset" in proof["versions"]
        assert str(tmp_path) not in path.read_text()

    def test_it_is_the_same_for_the_same_release_and_is_no_release_itself(self, tmp_path: Path) -> None:
        draw(tmp_path / "photos", 3)
        recipe = wanted(tmp_path)
        manifest = run(recipe)
        release = str(tmp_path / "set/releases/v1")
        first, again = (Path(write_proof(release + end, verify(release))).read_bytes() for end in ("", "/"))
        assert first == again
        assert run(recipe) == manifest
        assert check_data_set(str(tmp_path / "set")).findings == []

    def test_a_missing_file_is_named_without_the_folder_of_this_machine(self, tmp_path: Path) -> None:
        draw(tmp_path / "photos", 3)
        run(wanted(tmp_path, emit={"name": "v1", "formats": ["odvg"]}))
        release = tmp_path / "set/releases/v1"
        (release / "odvg/label_map.json").unlink()
        (release / "train-00000.parquet").unlink()
        checks = verify(str(release))
        proof = Path(write_proof(str(release), checks)).read_text()
        assert "No such file or directory" in proof
        assert str(tmp_path) not in proof

    def test_a_read_only_folder_gets_none(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        draw(tmp_path / "photos", 1)
        run(wanted(tmp_path))
        release = str(tmp_path / "set/releases/v1")
        checks = verify(release)

        def refused(*_: object) -> None:
            raise PermissionError("read-only")

        monkeypatch.setattr("engine.storage.files.Storage.put", refused)
        assert write_proof(release, checks) == ""
