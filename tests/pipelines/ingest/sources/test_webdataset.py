"""WebDataset tars as a source: samples, captions, and tars that are damaged."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from engine.errors import ConfigError
from engine.reading.accounting import account
from engine.reading.dataset import Dataset
from engine.storage.open_uri import read_uri
from pipelines.ingest.sources.webdataset import WebDataset
from tests.pipelines.ingest.sources.tars import ingest, listed, names, tar, texts
from tests.written_sources import photographs, web_host, write_tars


def test_samples_are_those_of_webdataset(tmp_path: Path) -> None:
    import webdataset

    members = [
        *(("__meta__/x.jpg", b"note"), ("./a/0.jpg", b"0"), ("./a/0.txt", b"zero"), ("b.PNG", b"b"), ("b.cls", b"1")),
        *(("c.d.jpg", b"cd"), ("c.e.txt", b"e"), ("no extension", b"x"), (".hidden.jpg", b"h"), ("b.jpg", b"again")),
    ]
    path = tar(tmp_path / "x.tar", *members, kind=tarfile.PAX_FORMAT)
    theirs = list(webdataset.WebDataset([str(path)], shardshuffle=False))
    entries = listed(path)
    assert names(entries) == ["./a/0.jpg", "b.PNG", "c.d.jpg", "b.jpg"]
    assert len(entries) == len(theirs)
    for entry, sample in zip(entries, theirs, strict=True):
        assert read_uri(entry.uri, entry.offset, entry.length) in sample.values()
    assert texts(entries[0]) == ["zero"]


def test_the_image_of_a_sample_is_the_member_with_an_image_extension(tmp_path: Path) -> None:
    path = tar(tmp_path / "x.tar", ("0.seg.png", b"mask"), ("0.json", b"{}"), ("0.JPEG", b"photo"), ("1.seg.png", b"s"))
    entries = listed(path)
    assert names(entries) == ["0.JPEG", "1.seg.png", "0.seg.png"]
    assert [entry.reason for entry in entries] == ["", "", "second_image"]


def test_captions_are_distinct_texts(tmp_path: Path) -> None:
    def as_json(content: Any) -> bytes:
        return json.dumps(content).encode()

    members = [
        *(("0.jpg", b"0"), ("0.txt", " A cat.\n".encode("utf-8-sig")), ("0.json", as_json({"caption": "A cat."}))),
        *(
            ("1.jpg", b"1"),
            ("1.json", as_json({"caption": ["One.", 3, None], "captions": ["Two.", "One."], "alt": "Alt."})),
        ),
        *(("2.jpg", b"2"), ("2.txt", b"\xff\xff"), ("2.json", b"{no json")),
        *(("3.jpg", b"3"), ("3.txt", b" \n"), ("3.json", b"[1]")),
        *(("4.jpg", b"4"), ("4.txt", b"x" * (1 << 20) + b"x"), ("4.json", b'{"caption": "\\ud800"}')),
    ]
    path = tar(tmp_path / "x.tar", *members)
    source = WebDataset(str(path))
    assert [texts(entry) for entry in source.entries()] == [["A cat."], ["One.", "Two."], [], [], []]
    assert source.texts.left_out == {
        "a txt that cannot be read": 1,
        "a json that cannot be read": 1,
        "a json that is no object": 1,
        "a text of more than a megabyte": 1,
        "a caption that is no text": 1,
        "a caption that is no Unicode": 1,
    }
    assert [texts(entry) for entry in listed(path, captions="json.alt")][:2] == [[], ["Alt."]]
    assert not any(texts(entry) for entry in listed(path, captions=[]))


def test_paths_folders_globs_and_braces_name_tars(tmp_path: Path) -> None:
    write_tars(tmp_path / "all", photographs(tmp_path, 6), a_tar=2)
    tar(tmp_path / "all" / "sub" / "more.tar", ("x.jpg", b"x"))
    (tmp_path / "all" / "00000.json").write_text("{}")
    everything = ["00000.jpg", "00001.png", "00002.jpg", "00003.png", "00004.jpg", "00005.png"]
    assert names(listed(tmp_path / "all")) == [*everything, "x.jpg"]
    assert names(listed(tmp_path / "all" / "*")) == everything
    assert names(listed(tmp_path / "all" / "{00001..00002}.tar")) == everything[2:]
    assert names(listed(tmp_path / "all" / "00001.tar")) == everything[2:4]
    (tmp_path / "all" / "00000.tar").rename(tmp_path / "[a]{b}.tar")
    assert names(listed(tmp_path / "[a]{b}.tar")) == everything[:2]


@pytest.mark.parametrize("name", ["x.tar.gz", "sub/x.tgz"])
def test_compressed_tars_are_refused(tmp_path: Path, name: str) -> None:
    tar(tmp_path / "y.tar", ("x.jpg", b"x"))
    tar(tmp_path / name, ("x.jpg", b"x"))
    with pytest.raises(ConfigError, match="is compressed, so no image in it can be read by its offset: unpack it"):
        listed(tmp_path)


@pytest.mark.parametrize("name", ["none.tar", "*.tar", "{0..3}.tar", ""])
def test_a_path_without_tars_is_an_error_in_one_sentence(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match=r"No file '.*' that ends in \.tar: check the path of the source"):
        listed(tmp_path / name)


# --- what is broken ---------------------------------------------------------------------------------


def test_a_tar_that_is_cut_off_anywhere_lists_what_is_intact_and_reports_the_cut(tmp_path: Path) -> None:
    captions = {"00000": "One.", "00001": "Two.", "00002": "Three."}
    (whole,) = write_tars(tmp_path, photographs(tmp_path / "photos", 3, size=8), captions)
    data, entries = whole.read_bytes(), listed(whole)
    with tarfile.open(whole) as file:
        file.getmembers()
        end = file.offset  # of what is in it
    for cut in [*range(0, end, 200), end, end + 511]:
        (tmp_path / "cut.tar").write_bytes(data[:cut])
        found = listed(tmp_path / "cut.tar")
        readable = [entry for entry in entries if entry.offset + entry.length <= cut]
        assert [(entry.offset, entry.length) for entry in found[:-1]] == [(e.offset, e.length) for e in readable]
        assert found[-1].uri == f"tar://*::{tmp_path}/cut.tar"
        assert found[-1].offset <= cut
    (tmp_path / "cut.tar").write_bytes(data[: end + 512])
    assert names(listed(tmp_path / "cut.tar")) == names(entries)


@pytest.mark.parametrize("damage", ["header", "tail", "no tar", "empty", "gzip"])
def test_damaged_tars_are_counted_and_do_not_stop_the_run(tmp_path: Path, damage: str) -> None:
    tars = write_tars(tmp_path / "tars", photographs(tmp_path, 6, size=16), a_tar=3)
    data = tars[0].read_bytes()
    at = listed(tars[0])[1].offset
    damaged = {
        "header": data[: at - 512] + b"\xff" * 512 + data[at:],
        "tail": data[: at + 20],
        "no tar": b"this is a text that calls itself a tar" * 40,
        "empty": b"",
        "gzip": b"\x1f\x8b" + data,
    }[damage]
    tars[0].write_bytes(damaged)
    found = ingest(tmp_path / "set", str(tmp_path / "tars"))
    reasons = ["truncated"] if damage in ("header", "tail") else ["not_a_tar"]
    assert [reason for reason, _ in found] == reasons
    assert str(tars[0]) in found[0][1]
    counted = account(Dataset.open(str(tmp_path / "set")))
    assert counted.outcomes["quarantined"] == 1
    assert counted.inputs == (5 if reasons == ["truncated"] else 4)


def test_samples_without_an_image_and_missing_tars_are_counted(tmp_path: Path) -> None:
    write_tars(tmp_path, photographs(tmp_path / "photos", 1))
    tar(tmp_path / "00001.tar", ("7.json", b"{}"), ("7.txt", b"Lost."))
    tar(tmp_path / "00002.tar", ("nothing", b"without an extension"))
    tar(tmp_path / "00003.tar")
    found = dict(ingest(tmp_path / "set", f"{tmp_path}/{{00000..00004}}.tar"))
    assert found.keys() == {"no_image", "missing"}
    reasons = sorted(error for _, error in ingest(tmp_path / "other", f"{tmp_path}/{{00000..00004}}.tar"))
    assert reasons == [
        f"no file at '{tmp_path}/00004.tar'",
        f"no name has an extension, so no member is an image, in '{tmp_path}/00002.tar'",
        f"the sample '7' has no image, in '{tmp_path}/00001.tar'",
    ]


def test_a_malicious_header_ends_the_tar(tmp_path: Path) -> None:
    path = tar(tmp_path / "x.tar", ("0.jpg", b"0" * 600), ("1.jpg", b"1"))
    data = bytearray(path.read_bytes())
    at = 512 + 1024
    data[at + 124 : at + 136] = b"\xff" * 8 + (-2048 & 0xFFFFFFFF).to_bytes(4, "big")  # back to the beginning
    data[at + 148 : at + 156] = b" " * 8
    data[at + 148 : at + 156] = b"%06o\0 " % sum(data[at : at + 512])
    path.write_bytes(data)
    assert names(listed(path)) == ["0.jpg", "*"]


def test_names_that_are_not_unicode_are_shown_as_escapes_and_read_by_offset(tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT, errors="surrogateescape") as file:
        info = tarfile.TarInfo(b"caf\xe9.jpg".decode("utf-8", "surrogateescape"))
        info.size = 3
        file.addfile(info, io.BytesIO(b"abc"))
    (entry,) = listed(path)
    assert entry.uri == f"tar://caf\\xe9.jpg::{path}"
    assert read_uri(entry.uri, entry.offset, entry.length) == b"abc"


def test_tars_are_read_from_web_servers(tmp_path: Path) -> None:
    photos = photographs(tmp_path / "photos", 3)
    (path,) = write_tars(tmp_path, photos)
    answers: Mapping[str, Any] = {"/0.tar": path.read_bytes(), "/1.tar": 403}
    with web_host(answers) as (host, _):
        found = ingest(tmp_path / "set", f"{host}/{{0..1}}.tar")
    assert [reason for reason, _ in found] == ["unreachable"]
    counted = account(Dataset.open(str(tmp_path / "set")))
    assert (counted.inputs, counted.outcomes["pending"]) == (4, 3)


def test_samples_have_the_licence_of_the_source_and_human_captions_have_no_score(tmp_path: Path) -> None:
    (path,) = write_tars(tmp_path, photographs(tmp_path / "photos", 1), {"00000": "A cat."})
    (entry,) = listed(path, licence="CC0-1.0", captions_by="human")
    assert entry.licence == "CC0-1.0"
    assert entry.labels is not None
    (text,) = entry.labels.texts
    assert (text.id, text.producer, text.score, text.granularity) == ("human/0", "human", None, "brief")
