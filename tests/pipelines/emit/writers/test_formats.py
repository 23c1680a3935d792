"""A new release format needs a file and a line of FORMATS, nothing else."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import pytest

from engine.storage.commits import File
from engine.storage.files import Storage
from pipelines.emit import emit, shard
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


def test_another_format_is_written_listed_and_verified(
    tmp_path: Path, without_datasets: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    formats = {**FORMATS, "lines": Format("lines-", "jsonl", LineWriter, list_shards)}
    for module in (emit, shard):
        monkeypatch.setattr(module, "FORMATS", formats)
    ids = draw(tmp_path / "photos", 5)
    manifest = run(wanted(tmp_path))
    release = tmp_path / "set/releases/v1"
    rows = [json.loads(line) for path in sorted(release.glob("lines-*")) for line in path.read_text().splitlines()]
    assert rows == [[image, 512] if n in (0, 4) else [image, rows[n][1]] for n, image in enumerate(ids)]
    listed = {file["name"]: file["rows"] for file in manifest["files"]}
    assert (listed["lines-00000.jsonl"], listed["lines-00001.jsonl"], listed["lines.json"]) == (4, 1, 2)
    check(release)
