"""Members of a tar that belong to no sample of webdataset: each is quarantined or counted."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path

import pytest

from engine.reading.accounting import account
from engine.reading.dataset import Dataset
from engine.storage.open_uri import read_uri
from pipelines.ingest.sources.source import Entry
from pipelines.ingest.sources.webdataset import WebDataset
from tests.pipelines.ingest.sources.tars import ingest, listed, names, tar, texts
from tests.written_sources import photographs, write_tars


def lost(entries: list[Entry]) -> list[tuple[str, str]]:
    return [(name, entry.reason) for name, entry in zip(names(entries), entries, strict=True) if entry.reason]


def accounted(dataset: Path, source: str) -> dict[str, int]:
    """{outcome: number of inputs}; checks that they add up."""
    ingest(dataset, source)
    counted = account(Dataset.open(str(dataset)))
    assert counted.inputs == sum(counted.outcomes.values())
    return {outcome: number for outcome, number in counted.outcomes.items() if number}


def test_every_image_of_a_sample_but_its_first_is_quarantined(tmp_path: Path) -> None:
    photos = [path.read_bytes() for path in photographs(tmp_path / "photos", 3)]
    path = tar(tmp_path / "x.tar", *((f"img.{number}.jpg", data) for number, data in enumerate(photos)))
    entries = listed(path, licence="CC0-1.0")
    assert lost(entries) == [("img.1.jpg", "second_image"), ("img.2.jpg", "second_image")]
    problem = f"a second image of the sample 'img': rename it without dots, in '{path}'"
    assert {(entry.error, entry.licence) for entry in entries[1:]} == {(problem, "CC0-1.0")}
    assert accounted(tmp_path / "set", str(path)) == {"pending": 1, "quarantined": 2}


def test_the_second_of_two_members_with_one_name_is_quarantined(tmp_path: Path) -> None:
    members = [("a.jpg", b"1"), ("a.JPG", b"2"), ("a.txt", b"One."), ("a.txt", b"Two."), ("b.jpg", b"3")]
    path = tar(tmp_path / "x.tar", *members)
    source = WebDataset(str(path))
    entries = list(source.entries())
    assert lost(entries) == [("a.JPG", "same_name")]
    assert source.left_out == {"a second member of the same name": 1}
    assert texts(entries[0]) == ["One."]


def test_images_after_the_end_of_a_tar_are_quarantined(tmp_path: Path) -> None:
    photos = [path.read_bytes() for path in photographs(tmp_path / "photos", 3)]
    parts = [tar(tmp_path / f"{n}", (f"{n}.png", data), (f"{n}.txt", b"x")) for n, data in enumerate(photos)]
    path = tmp_path / "all.tar"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    source = WebDataset(str(path))
    entries = list(source.entries())
    assert lost(entries) == [("1.png", "behind_the_end"), ("2.png", "behind_the_end")]
    assert [read_uri(entry.uri, entry.offset, entry.length) for entry in entries] == photos
    end = len(photos[0]) + -len(photos[0]) % 512 + 3 * 512
    assert entries[1].error.startswith(f"after the end of the tar at byte {end}")
    assert source.left_out == {"a member behind the end of its tar": 2}
    assert len(source.notes) == 1
    assert accounted(tmp_path / "set", str(path)) == {"pending": 1, "quarantined": 2}


def test_a_second_tar_that_is_cut_off_is_counted_too(tmp_path: Path) -> None:
    first, second = (tar(tmp_path / f"{n}", (f"{n}.png", bytes(2000))) for n in range(2))
    path = tmp_path / "all.tar"
    path.write_bytes(first.read_bytes() + second.read_bytes()[:1000])
    source = WebDataset(str(path))
    assert lost(list(source.entries())) == [("1.png", "behind_the_end")]
    assert [note for note in source.notes if "no tar" in note] == []


@pytest.mark.parametrize(("behind", "notes"), [(bytes(3 << 20), 0), (b"x" * 700, 1), (bytes(9999) + b"x", 1)])
def test_zeros_after_the_end_are_ignored_and_other_bytes_noted(tmp_path: Path, behind: bytes, notes: int) -> None:
    path = tar(tmp_path / "x.tar", ("0.jpg", b"0"))
    path.write_bytes(path.read_bytes() + behind)
    source = WebDataset(str(path))
    assert names(list(source.entries())) == ["0.jpg"]
    assert len(source.notes) == notes


def test_links_and_sparse_members_are_quarantined_and_hidden_ones_counted(tmp_path: Path) -> None:
    path = tar(tmp_path / "x.tar", ("0.jpg", b"0"), ("._0.jpg", b"mac"), ("__meta__/1.jpg", b"note"))
    with tarfile.open(path, "a") as file:
        for name, kind in (("1.jpg", tarfile.SYMTYPE), ("2.jpg", tarfile.LNKTYPE), ("2.txt", tarfile.SYMTYPE)):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "0.jpg"
            file.addfile(info)
        for name, kind in (("3.jpg", tarfile.FIFOTYPE), ("4.jpg", tarfile.CHRTYPE), ("5", tarfile.DIRTYPE)):
            info = tarfile.TarInfo(name)
            info.type = kind
            file.addfile(info)
    source = WebDataset(str(path))
    entries = list(source.entries())
    assert lost(entries) == [("1.jpg", "unsupported"), ("2.jpg", "unsupported")]
    assert "it is a link to '0.jpg', not a file" in entries[1].error
    assert source.left_out == {
        "a member that is a pipe or a device": 2,
        "a hidden member": 1,
        "a note of webdataset's own": 1,
        "a member that is no plain file": 1,
    }


def test_an_image_in_an_unsupported_format_is_the_image_of_its_sample(tmp_path: Path) -> None:
    heic = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100)
    path = tar(tmp_path / "x.tar", ("0.HEIC", heic), ("0.json", b"{}"), ("1.jpg", b""))
    assert [reason for reason, _ in ingest(tmp_path / "set", str(path))] == ["unsupported", "empty"]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"\x1f\x8b\x08" + bytes(2000), "compressed by gzip, no image: unpack it"),
        (b"<!doctype html><html>" + b" " * 2000, "it is a web page"),
        (b"version https://git-lfs.github.com/spec/v1\n" + b"x" * 900, "run git lfs pull"),
        (b"", "does not begin like an uncompressed tar"),
    ],
)
def test_a_file_with_the_wrong_extension_is_reported_with_its_real_format(
    tmp_path: Path, content: bytes, problem: str
) -> None:
    write_tars(tmp_path, photographs(tmp_path / "photos", 1))
    (tmp_path / "bad.tar").write_bytes(content)
    ((reason, error),) = ingest(tmp_path / "set", f"{tmp_path}/*.tar")
    assert reason == "not_a_tar"
    assert problem in error


def test_a_pipe_and_a_name_that_is_not_unicode_are_quarantined(tmp_path: Path) -> None:
    tar(tmp_path / "a.tar", ("0.jpg", b"0"))
    os.mkfifo(tmp_path / "pipe.tar")
    tar(Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.tar")), ("1.jpg", b"1"))
    found = {entry.uri.rsplit("/", 1)[1]: entry.reason for entry in listed(f"{tmp_path}/*.tar")}
    assert found == {"a.tar": "", "pipe.tar": "", "caf\\xe9.tar": "name_not_utf8"}
    assert sorted(reason for reason, _ in ingest(tmp_path / "set", f"{tmp_path}/*.tar")) == [
        *("name_not_utf8", "not_an_image", "unreadable")
    ]
