from __future__ import annotations

import os
from pathlib import Path

import pytest

from engine.errors import ConfigError
from pipelines.ingest.sources.file_uris import resolve_file
from pipelines.ingest.sources.fingerprints import Fingerprints
from pipelines.ingest.sources.source_path import resolve_source


@pytest.fixture
def folder(tmp_path: Path) -> str:
    for name in (
        "a.jpg",
        "sub/b c.jpg",
        "100%25.jpg",
        "sub/a::b.jpg",
        "~tilde.jpg",
        "'q'.jpg",
        "back\\slash.jpg",
        "#1?.jpg",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    return str(tmp_path)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("a.jpg", "a.jpg"),
        ("./a.jpg", "a.jpg"),
        ("sub/../a.jpg", "a.jpg"),
        ("sub//b c.jpg", "sub/b c.jpg"),
        ("sub\\b c.jpg", "sub/b c.jpg"),
        (".\\sub\\b c.jpg", "sub/b c.jpg"),
        ("back\\slash.jpg", "back\\slash.jpg"),
        ("sub/b%20c.jpg", "sub/b c.jpg"),
        ("sub\\b%20c.jpg", "sub/b c.jpg"),
        ("100%25.jpg", "100%25.jpg"),
        ('"a.jpg"', "a.jpg"),
        ("'sub\\b c.jpg'", "sub/b c.jpg"),
        ("<a.jpg>", "a.jpg"),
        ("'q'.jpg", "'q'.jpg"),
        ("~tilde.jpg", "~tilde.jpg"),
        ("/a.jpg", "a.jpg"),
        ("{}/a.jpg", "a.jpg"),
        ("{}//sub/./b c.jpg", "sub/b c.jpg"),
        ("sub/a::b.jpg", "sub/a::b.jpg"),
        ("#1?.jpg", "#1?.jpg"),
        ("file://{}/sub/b%20c.jpg", "sub/b c.jpg"),
        ("file://localhost{}/a.jpg", "a.jpg"),
        ("FILE:{}/a.jpg", "a.jpg"),
        ("local://{}/a.jpg", "a.jpg"),
        ("file://a.jpg", "a.jpg"),
        ("file://{}/100%25.jpg", "100%25.jpg"),
        ("file://{}/#1?.jpg", "#1?.jpg"),
        ("gone\\x.jpg", "gone\\x.jpg"),
    ],
)
def test_each_spelling_of_a_name_finds_its_file(folder: str, name: str, found: str) -> None:
    assert resolve_file(name.format(folder), folder).uri == f"{folder}/{found}"


def test_a_path_through_a_symbolic_link_keeps_its_dots(folder: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = tmp_path_factory.mktemp("other")
    (other / "deep").mkdir()
    (other / "c.jpg").write_bytes(b"")
    Path(folder, "link").symlink_to(other / "deep")
    assert resolve_file("link/../c.jpg", folder).uri == f"{folder}/link/../c.jpg"


def test_a_home_folder_is_found(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", f"{folder}/sub")
    assert resolve_file("~/b c.jpg", folder).uri == f"{folder}/sub/b c.jpg"


@pytest.mark.parametrize(
    ("name", "uri"),
    [
        ("HTTP://User@HOST:80/A.jpg?B=C#D", "http://User@host:80/A.jpg?B=C#D"),
        ("HTTPS://[2001:DB8::1]:8000/x.jpg", "https://[2001:db8::1]:8000/x.jpg"),
        ("http://[::1/x.jpg", "http://[::1/x.jpg"),
        ("http://host/a b%20c.jpg", "http://host/a b%20c.jpg"),
        ('"http://host/a.jpg"', "http://host/a.jpg"),
        ("S3://bucket/A.jpg", "s3://bucket/A.jpg"),
        ("s3://bucket/dir//a::b?c#d.jpg", "s3://bucket/dir//a::b?c#d.jpg"),
        ("tar://A.jpg::/x/y.tar", "tar://A.jpg::/x/y.tar"),
        ("a.jpg", "s3://bucket/dir/a.jpg"),
        ("./sub/../a.jpg", "s3://bucket/dir/a.jpg"),
        ("../a.jpg", "s3://bucket/a.jpg"),
        ("sub\\a.jpg", "s3://bucket/dir/sub/a.jpg"),
        ("/a.jpg", "s3://bucket/dir/a.jpg"),
    ],
)
def test_a_url_has_one_spelling(name: str, uri: str) -> None:
    assert resolve_file(name, "s3://bucket/dir").uri == uri


@pytest.mark.parametrize(
    ("name", "reason", "message"),
    [
        ("data:image/png;base64,iVBORw0KGgo=", "unreadable", "a data: URI is not read"),
        ("DATA:," + "x" * 400_000, "unreadable", "a data: URI is not read"),
        ("iVBORw0KGgo" * 2000, "unreadable", "its name has 22000 characters"),
        ("a\0b.jpg", "unreadable", "NUL"),
        ("a\ud800.jpg", "name_not_utf8", "rename the file"),
        (os.fsdecode(b"caf\xe9.jpg"), "name_not_utf8", "rename the file"),
        ("file:///caf%E9.jpg", "name_not_utf8", "rename the file"),
    ],
)
def test_a_name_that_no_file_can_have_is_quarantined_with_a_short_message(name: str, reason: str, message: str) -> None:
    resolved = resolve_file(name, "/photos")
    assert resolved.reason == reason
    assert message in resolved.error
    assert len(resolved.uri) + len(resolved.error) < 300
    assert (resolved.uri + resolved.error).isprintable()


def test_bytes_that_are_not_unicode_are_shown_as_escapes() -> None:
    assert resolve_file(os.fsdecode(b"caf\xe9.jpg"), "/photos").uri == "/photos/caf\\xe9.jpg"


def test_long_names_that_differ_in_the_middle_get_different_uris() -> None:
    places = {resolve_file("x" * 5000 + letter + "x" * 5000, "/photos").uri for letter in "ab"}
    assert len(places) == 2


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("hdfs://node/photos", "Cannot open the source 'hdfs://node/photos'"),
        ("nosuch://x", "Protocol not known: nosuch"),
        ("github://x", "Cannot open the source"),
    ],
)
def test_a_source_that_no_file_system_opens_is_an_error_in_one_sentence(name: str, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence) as error:
        resolve_source(name)
    assert len(str(error.value)) <= 500


def test_a_missing_package_is_an_error_with_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def lacking(*_: object, **__: object) -> None:
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr("pipelines.ingest.sources.source_path.file_system", lacking)
    with pytest.raises(ConfigError, match=r"needs the package s3fs: .*pip install .*'fld5b-engine\[s3\]'"):
        resolve_source("s3://bucket/photos")


def test_a_file_that_cannot_be_looked_up_has_no_fingerprint(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"a")
    versions = Fingerprints()
    assert versions.of(f"{tmp_path}/a.jpg")
    for uri in (
        "/a\0b",
        "/" + "x" * 300,
        "nosuch://x/a.jpg",
        "ftp://127.0.0.1:1/a.jpg",
        "http://[::1/a.jpg",
        "hdfs://n/x",
    ):
        assert versions.of(uri) == ""
