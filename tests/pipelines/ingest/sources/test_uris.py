from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import fsspec
import pytest

from engine.errors import ConfigError
from pipelines.ingest.sources.open import open_source
from pipelines.ingest.sources.source import Entry
from pipelines.recipe import parse_recipe
from pipelines.stages import run as stages
from tests.runs import failures
from tests.written_sources import photographs, web_host, write_tars


def listed(path: Path | str, **options: Any) -> list[Entry]:
    return list(open_source({"uris": str(path), **options}).entries())


def ingest(dataset: Path, source: Path | str) -> list[dict[str, Any]]:
    """The quarantined inputs."""
    data = {"dataset": str(dataset), "ingest": {"sources": [{"uris": str(source)}]}}
    summary = stages.run(parse_recipe(data), stage="ingest", runner="inline")
    return [{"listed": summary.listed, **failure} for failure in failures(dataset, "probe")]


def test_lines_are_uris_or_paths_relative_to_the_list(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_bytes("\ufeffa.jpg\r\n\n  sub/b c.jpg \n/abs/c.jpg\nhttp://host/d.jpg?x=1\n".encode())
    uris = [f"{tmp_path}/a.jpg", f"{tmp_path}/sub/b c.jpg", "/abs/c.jpg", "http://host/d.jpg?x=1"]
    assert [entry.uri for entry in listed(path)] == uris
    first, *_ = listed(path, base="memory://photos/")
    assert first.uri.endswith("/photos/a.jpg")


def test_json_lines_have_captions(tmp_path: Path) -> None:
    path = tmp_path / "list.jsonl"
    lines = [{"url": "a.jpg", "caption": "A."}, {"file_name": "b.jpg", "captions": ["B.", "B.", ""], "text": "Bee."}]
    path.write_text("\n".join(map(json.dumps, [*lines, {"path": "c.jpg"}])))
    entries = listed(path, licence="CC0-1.0")
    captions = [[text.text for text in entry.labels.texts] if entry.labels else [] for entry in entries]
    assert captions == [["A."], ["B.", "Bee."], []]
    assert {entry.licence for entry in entries} == {"CC0-1.0"}


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("none.txt", None, "No file '.*none.txt': give a text file with one URI or path on each line"),
        ("list.jsonl", b"\n\n[]\nno json\n", "Line 3 of '.*' is not a JSON object"),
        ("list.jsonl", b"no json\n" * 100 + b'{"url": "a"}', "Line 1 of '.*' is not a JSON object"),
        ("list.jsonl", b'{"uri": 3}', "Line 1 of '.*' has no uri, url, path or file_name"),
        ("list.txt", b"\n\xff\n", "Line 2 of '.*' is not UTF-8"),
    ],
)
def test_a_list_that_cannot_be_read_is_an_error_in_one_sentence(
    tmp_path: Path, name: str, content: bytes | None, sentence: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ConfigError, match=sentence):
        listed(tmp_path / name)


def test_a_repeated_line_is_one_input_and_a_changed_file_is_a_new_one(tmp_path: Path) -> None:
    photo = photographs(tmp_path, 1)[0]
    path = tmp_path / "list.txt"
    path.write_text(f"{photo.name}\n{photo}\n{photo.name}\n")
    data = {"dataset": str(tmp_path / "set"), "ingest": {"sources": [{"uris": str(path)}]}}
    counts = [stages.run(parse_recipe(data), stage="ingest", runner="inline").listed for _ in range(2)]
    photo.write_bytes(photo.read_bytes() + b" ")
    assert [*counts, stages.run(parse_recipe(data), stage="ingest", runner="inline").listed] == [1, 0, 1]


def test_paths_in_a_remote_list_are_relative_to_it() -> None:
    store = fsspec.filesystem("memory")
    store.pipe_file("/lists/list.txt", b"a.jpg\ngone.jpg\n")
    store.pipe_file("/lists/a.jpg", b"a")
    there, gone = listed("memory://lists/list.txt")
    assert there.uri.endswith("/lists/a.jpg")
    assert (bool(there.fingerprint), gone.fingerprint) == (True, "")


def test_errors_of_a_host_fail_only_its_own_images(tmp_path: Path) -> None:
    photos = photographs(tmp_path / "photos", 2)
    answers: dict[str, Any] = {
        "/0.jpg": photos[0].read_bytes(),
        "/1.jpg": 403,
        "/2.jpg": 410,
        "/3.jpg": b"<html></html>",
    }
    (tmp_path / "list.txt").write_text("")
    with web_host(answers) as (host, _):
        lines = [*(f"{host}/{number}.jpg" for number in range(5)), "http://no-such-host.invalid/5.jpg", "nosuch://x"]
        (tmp_path / "list.txt").write_text("\n".join([*lines, str(photos[1])]))
        found = ingest(tmp_path / "set", tmp_path / "list.txt")
    assert [failure["reason"] for failure in found] == [
        *("unreachable", "unreachable", "web_page", "missing", "unreachable", "unreachable")
    ]
    assert found[0]["listed"] == 8


def test_members_of_tars_may_be_listed_by_name(tmp_path: Path) -> None:
    (tar,) = write_tars(tmp_path, photographs(tmp_path / "photos", 2))
    (tmp_path / "list.txt").write_text(f"tar://00001.png::{tar}\ntar://nothing.png::{tar}\n")
    found = ingest(tmp_path / "set", tmp_path / "list.txt")
    assert [failure["reason"] for failure in found] == ["missing"]


def test_a_broken_line_is_one_quarantined_input(tmp_path: Path) -> None:
    (tmp_path / "list.jsonl").write_bytes(
        b'{"caption": "?"}\n{"url": "a"}\n{"url": "b"\n\xff\n{"url": null}\n{"url": "c"}'
    )
    entries = listed(tmp_path / "list.jsonl")
    assert [entry.reason for entry in entries] == ["bad_line", "", "bad_line", "name_not_utf8", "bad_line", ""]
    assert entries[2].error == f"line 3 of '{tmp_path}/list.jsonl' is not a JSON object"
    assert len({(entry.uri, entry.fingerprint) for entry in entries}) == 6
    (tmp_path / "list.txt").write_bytes(b"a.jpg\ncaf\xe9.jpg\nb.jpg\n")
    assert [entry.reason for entry in listed(tmp_path / "list.txt")] == ["", "name_not_utf8", ""]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_a_list_may_be_in_any_unicode_encoding(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "list.txt").write_bytes("a.jpg\r\n\r\nsub/é.jpg\r\n".encode(encoding))
    assert [entry.uri for entry in listed(tmp_path / "list.txt")] == [f"{tmp_path}/a.jpg", f"{tmp_path}/sub/é.jpg"]
    (tmp_path / "list.jsonl").write_bytes('{"url": "a.jpg", "caption": "É."}\r\n'.encode(encoding))
    (entry,) = listed(tmp_path / "list.jsonl")
    assert entry.labels
    assert (entry.uri, entry.labels.texts[0].text) == (f"{tmp_path}/a.jpg", "É.")


def test_names_that_the_file_system_refuses_are_quarantined_in_every_run(tmp_path: Path) -> None:
    good, other = photographs(tmp_path / "photos", 2)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "circle").symlink_to("circle")
    bad = ["x" * 300, "x" * 9000, "pipe", "circle", "photos", "a\0b.jpg", "data:image/png;base64,iVBOR", "hdfs://n/x"]
    names = [str(good.relative_to(tmp_path)), *bad, good.as_uri(), str(other).replace("/", "\\")]
    (tmp_path / "list.txt").write_text("\n".join(names))
    found = ingest(tmp_path / "set", tmp_path / "list.txt")
    assert [failure["reason"] for failure in found] == [*["unreadable"] * 7, "unreachable"]
    assert max(len(failure["error"]) for failure in found) < 450
    (tmp_path / "list.txt").write_text("\n".join([*names, "photos\\gone.jpg"]))
    again = ingest(tmp_path / "set", tmp_path / "list.txt")
    assert [failure["reason"] for failure in again].count("missing") == 1
