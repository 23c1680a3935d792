"""A new release format needs a writer, a verifier and a line of FORMATS, nothing else."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import BinaryIO

import pytest

from engine.errors import ConfigError
from engine.reading.release_manifest import Manifest
from pipelines.check.check import check as check_data_set
from pipelines.emit.verifiers.check import Check, ShardContent
from pipelines.emit.verify import verify
from pipelines.emit.writers import FORMATS
from pipelines.emit.writers.format import Format, Merge, Sample, Shard
from pipelines.release_options import Emit
from tests.pipelines.emit.emitted import check, draw, run, wanted
from tests.runs import release_files


class LineWriter:
    """One line of json for each image."""

    def __init__(self, file: BinaryIO, shard: Shard) -> None:
        self.file, self.rows = file, 0

    def add(self, sample: Sample) -> None:
        self.file.write(json.dumps([sample.row["image_id"], sample.offset]).encode() + b"\n")
        self.rows += 1

    def finish(self) -> int:
        return self.rows


class PartWriter(LineWriter):
    """The same lines as a part, and a loose file for each image. It leaves out the last image of each shard."""

    def __init__(self, file: BinaryIO, shard: Shard) -> None:
        super().__init__(file, shard)
        self.shard, self.left_out = shard, Counter[str]()

    def add(self, sample: Sample) -> None:
        if sample.number == self.shard.rows.num_rows - 1:
            self.left_out["last"] += 1
            return
        super().add(sample)
        self.shard.put(f"notes/{sample.row['image_id']}.txt", sample.image_path.encode())


def one_file(merge: Merge) -> None:
    """Writes one file for each split, with all lines."""
    for split in merge.splits:
        with merge.file(f"all/{split}.jsonl") as file:
            for line in merge.lines(split):
                file.write(line + b"\n")
                file.rows += 1


class LineVerifier:
    """Checks that the lines name the images of the tar."""

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self.folder, self.check, self.lines = folder, Check("lines name the images"), 0

    def read(self, shard: ShardContent) -> None:
        lines = (self.folder / f"lines-{shard.name}.jsonl").read_text().splitlines()
        self.lines += len(lines)
        if [json.loads(line)[0] for line in lines] != [sample["image_id"] for sample in shard.samples or ()]:
            self.check.faults.append(f"lines-{shard.name}.jsonl names other images than the tar")

    def finish(self) -> None:
        self.check.detail = f"{self.lines} lines"


LINES = Format(
    LineWriter,
    suffix="jsonl",
    stem="lines-",
    verifier=f"{__name__}:LineVerifier",
    card=lambda manifest: f"## Lines\n\n`lines-*.jsonl` of {manifest['name']}: one line for each image.",
)
WHOLE = Format(PartWriter, merge=one_file, files=("all/", "notes/"), loose_images=True)


def test_another_format_is_written_listed_described_and_verified(
    tmp_path: Path, without_datasets: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(FORMATS, "lines", LINES)
    ids = draw(tmp_path / "photos", 5)
    manifest = run(wanted(tmp_path, emit={"name": "v1", "formats": ["webdataset", "lines"]}))
    release = tmp_path / "set/releases/v1"
    rows = [json.loads(line) for path in sorted(release.glob("lines-*")) for line in path.read_text().splitlines()]
    assert rows == [[image, 512] if n in (0, 4) else [image, rows[n][1]] for n, image in enumerate(ids)]
    listed = {file["name"]: file["rows"] for file in manifest["files"]}
    assert (listed["lines-train-00000.jsonl"], listed["lines-train-00001.jsonl"]) == (4, 1)
    assert not any(name.startswith("pairs-") for name in listed)
    check(release)
    assert "## Lines\n\n`lines-*.jsonl` of v1: one line for each image.\n" in (release / "README.md").read_text()
    found = {check.name: check for check in verify(str(release))}
    assert (found["lines name the images"].ok, found["lines name the images"].detail) == (True, "5 lines")


def test_a_file_of_another_format_that_the_manifest_does_not_list_is_reported(
    tmp_path: Path, without_datasets: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(FORMATS, "lines", LINES)
    draw(tmp_path / "photos", 2)
    run(wanted(tmp_path, emit={"name": "v1", "formats": ["webdataset", "lines"]}))
    release = tmp_path / "set/releases/v1"
    (release / "lines-train-00001.jsonl").write_text("")
    faults = [fault for check in verify(str(release)) for fault in check.faults if "not asked" not in fault]
    assert faults == ["lines-train-00001.jsonl is not in the manifest"]
    (finding,) = check_data_set(str(tmp_path / "set")).findings
    assert (finding.kind, finding.path) == ("orphaned", "releases/v1/lines-train-00001.jsonl")


def test_a_format_for_the_whole_release_has_one_file_for_each_split_and_loose_files(
    tmp_path: Path, without_datasets: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(FORMATS, "whole", WHOLE)
    ids = draw(tmp_path / "photos", 5)
    recipe = wanted(tmp_path, emit={"name": "v1", "formats": ["whole"]})
    manifest = run(recipe)
    release = tmp_path / "set/releases/v1"
    lines = [json.loads(line) for line in (release / "all/train.jsonl").read_text().splitlines()]
    assert lines == [[image, 0] for image in ids[:3]]
    listed = {file["name"]: file["rows"] for file in manifest["files"]}
    assert listed == {
        "train-00000.parquet": 4,
        "train-00001.parquet": 1,
        "files-train-00000.parquet": 7,
        "files-train-00001.parquet": 1,
        "all/train.jsonl": 3,
    }
    assert manifest["formats"] == {"parquet": {"left_out": {}}, "whole": {"left_out": {"last": 2}}}
    images = sorted(path.name for path in (release / "images/train").iterdir())
    assert [name.partition(".")[0] for name in images] == sorted(ids)
    check(release)
    assert run(recipe) == manifest
    assert check_data_set(str(tmp_path / "set")).findings == []


@pytest.mark.parametrize("damage", ["gone", "cut", "more"])
def test_a_damaged_loose_file_is_reported_and_the_release_made_again(
    tmp_path: Path, without_datasets: None, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    monkeypatch.setitem(FORMATS, "whole", WHOLE)
    draw(tmp_path / "photos", 5)
    recipe = wanted(tmp_path, emit={"name": "v1", "formats": ["whole"]})
    run(recipe)
    before = release_files(tmp_path / "set")
    release = tmp_path / "set/releases/v1"
    name = next((release / "notes").iterdir())
    if damage == "gone":
        name.unlink()
    elif damage == "cut":
        name.write_bytes(name.read_bytes()[:-1])
    else:
        (release / "notes/more.txt").write_text("more")
    faults = [fault for check in verify(str(release)) for fault in check.faults if "not asked" not in fault]
    own = f"notes/{name.name}"
    expected = {
        "gone": f"{own} is missing",
        "cut": f"{own} has other bytes than files-train-00000.parquet states",
        "more": "notes/more.txt is not in the manifest",
    }
    assert faults == [expected[damage]]
    (release / "manifest.json").unlink()
    run(recipe)
    assert release_files(tmp_path / "set") == before


@pytest.mark.parametrize(
    ("formats", "sentence"),
    [
        (["webdatset"], "Unknown format in emit.formats 'webdatset': did you mean 'webdataset'?"),
        (["embeddings"], "emit.formats names 'embeddings', which emit.embeddings chooses: list nodes there, as in"),
        ([], "emit.formats is empty: add webdataset."),
        (["pairs"], "emit.formats is [pairs], none of which holds the images: add webdataset."),
    ],
)
def test_a_wrong_list_of_formats_is_refused_before_any_work(tmp_path: Path, formats: list[str], sentence: str) -> None:
    draw(tmp_path / "photos", 1)
    with pytest.raises(ConfigError, match=re.escape(sentence)):
        run(wanted(tmp_path, emit={"formats": formats}))
    assert not (tmp_path / "set").exists()


def test_the_description_of_the_option_names_every_format() -> None:
    described = re.findall(r"\w+", Emit.model_fields["formats"].description or "")
    assert set(FORMATS) - {"embeddings"} <= set(described)
