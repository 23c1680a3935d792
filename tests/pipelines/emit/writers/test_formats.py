"""A new release format needs a writer, a verifier and a line of FORMATS, nothing else."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import pytest

from engine.reading.release_manifest import Manifest
from engine.storage.commits import File
from engine.storage.files import Storage
from pipelines.check.check import check as check_data_set
from pipelines.emit.verifiers.check import Check, ShardContent
from pipelines.emit.verify import verify
from pipelines.emit.writers import FORMATS
from pipelines.emit.writers.format import Format, Sample, Shard
from tests.pipelines.emit.emitted import check, draw, run, wanted


class LineWriter:
    """One line of json for each image."""

    def __init__(self, file: BinaryIO, shard: Shard) -> None:
        self.file, self.rows = file, 0

    def add(self, sample: Sample) -> None:
        self.file.write(json.dumps([sample.row["image_id"], sample.offset]).encode() + b"\n")
        self.rows += 1

    def finish(self) -> int:
        return self.rows


def list_shards(storage: Storage, folder: str, files: Sequence[File]) -> list[File]:
    """Writes a file over all shards: the names of their files of lines."""
    names = [file.path.rpartition("/")[2] for file in files if file.path.endswith(".jsonl")]
    data = json.dumps(names).encode()
    storage.put(f"{folder}/lines.json", data)
    return [File(f"{folder}/lines.json", hashlib.sha256(data).hexdigest(), len(names), len(data))]


class LineVerifier:
    """Checks that the lines name the images of the tar."""

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self.folder, self.check, self.lines = folder, Check("lines name the images"), 0

    def read(self, shard: ShardContent) -> None:
        lines = (self.folder / f"lines-{shard.number}.jsonl").read_text().splitlines()
        self.lines += len(lines)
        if [json.loads(line)[0] for line in lines] != [sample["image_id"] for sample in shard.samples or ()]:
            self.check.faults.append(f"lines-{shard.number}.jsonl names other images than the tar")

    def finish(self) -> None:
        self.check.detail = f"{self.lines} lines"


LINES = Format(
    "lines-",
    "jsonl",
    LineWriter,
    list_shards,
    verifier=f"{__name__}:LineVerifier",
    card=lambda manifest: f"## Lines\n\n`lines-*.jsonl` of {manifest['name']}: one line for each image.",
)


def test_another_format_is_written_listed_described_and_verified(
    tmp_path: Path, without_datasets: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(FORMATS, "lines", LINES)
    ids = draw(tmp_path / "photos", 5)
    manifest = run(wanted(tmp_path))
    release = tmp_path / "set/releases/v1"
    rows = [json.loads(line) for path in sorted(release.glob("lines-*")) for line in path.read_text().splitlines()]
    assert rows == [[image, 512] if n in (0, 4) else [image, rows[n][1]] for n, image in enumerate(ids)]
    listed = {file["name"]: file["rows"] for file in manifest["files"]}
    assert (listed["lines-00000.jsonl"], listed["lines-00001.jsonl"], listed["lines.json"]) == (4, 1, 2)
    check(release)
    assert "## Lines\n\n`lines-*.jsonl` of v1: one line for each image.\n" in (release / "README.md").read_text()
    found = {check.name: check for check in verify(str(release))}
    assert (found["lines name the images"].ok, found["lines name the images"].detail) == (True, "5 lines")


def test_a_file_of_another_format_that_the_manifest_does_not_list_is_reported(
    tmp_path: Path, without_datasets: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(FORMATS, "lines", LINES)
    draw(tmp_path / "photos", 2)
    run(wanted(tmp_path))
    release = tmp_path / "set/releases/v1"
    (release / "lines-00001.jsonl").write_text("")
    faults = [fault for check in verify(str(release)) for fault in check.faults if "not asked" not in fault]
    assert faults == ["lines-00001.jsonl is not in the manifest"]
    (finding,) = check_data_set(str(tmp_path / "set")).findings
    assert (finding.kind, finding.path) == ("orphaned", "releases/v1/lines-00001.jsonl")
