"""A name that cannot be read fails that input; an error of the disk stops the run."""

from __future__ import annotations

import errno
import os
import socket
from pathlib import Path

import fsspec
import pytest

from engine.errors import ImageError, StorageError
from engine.storage.open_uri import read_input, shortened, why_unreadable
from engine.storage.urls import file_system, scheme_of


def refused(uri: str) -> tuple[str, str]:
    with pytest.raises(ImageError) as error:
        read_input(uri)
    return error.value.reason, str(error.value)


def test_a_name_that_the_file_system_refuses_fails_that_input(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "circle").symlink_to("circle")
    (tmp_path / "file").write_bytes(b"")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(tmp_path / "socket"))
    expected = {
        "x" * 300: ("unreadable", "its name is too long"),
        "circle": ("unreadable", "form a circle"),
        "pipe": ("unreadable", "it is a pipe"),
        "socket": ("unreadable", "it is a pipe, a socket or a device"),
        "": ("unreadable", "it is a folder"),
        "a\0b": ("unreadable", "NUL"),
        "a\ud800": ("unreadable", "not UTF-8"),
        "file/x": ("missing", "no file at"),
    }
    for name, (reason, sentence) in expected.items():
        found, error = refused(f"{tmp_path}/{name}")
        assert (found, sentence in error) == (reason, True), (name, error)
        assert len(error) < 500


@pytest.mark.parametrize("uri", ["tar://x.jpg::{}", "zip://x.jpg::{}", "parquet://image/0::{}"])
def test_reading_a_pipe_does_not_block(tmp_path: Path, uri: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert refused(uri.format(tmp_path / "pipe"))[0] == "unreadable"


@pytest.mark.parametrize("uri", ["nosuch://x/a.jpg", "data://x", "ftp://127.0.0.1:1/a.jpg", "github://x", "dir://x"])
def test_a_scheme_or_host_that_cannot_be_opened_fails_that_input(uri: str) -> None:
    assert refused(uri)[0] == "unreachable"


def test_a_bucket_without_credentials_or_with_a_wrong_name_fails_that_input(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    fsspec.get_filesystem_class("s3").clear_instance_cache()
    assert refused("s3://one-bucket/a.jpg") == (
        "unreadable",
        "there are no credentials for its bucket: 's3://one-bucket/a.jpg'",
    )
    assert refused("S3://Not_a_bucket!/a.jpg")[0] == "unreadable"
    fsspec.get_filesystem_class("s3").clear_instance_cache()


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC, errno.ESTALE, errno.EMFILE, errno.ENOMEM, errno.ENOTCONN])
def test_an_error_of_the_disk_is_a_storage_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    def broken(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr("engine.storage.open_uri.os.pread", broken)
    (tmp_path / "a.jpg").write_bytes(b"a")
    with pytest.raises(StorageError) as error:
        read_input(f"{tmp_path}/a.jpg")
    assert why_unreadable(error.value) == ""
    assert "\n" not in str(error.value)


def test_two_colons_in_a_path_do_not_chain_file_systems(tmp_path: Path) -> None:
    (tmp_path / "a::b.jpg").write_bytes(b"local")
    assert read_input(f"{tmp_path}/a::b.jpg") == b"local"
    assert file_system("s3://bucket/a::b.jpg")[1] == file_system("S3://bucket/a::b.jpg")[1] == "bucket/a::b.jpg"


def test_the_scheme_is_the_part_before_colon_and_two_slashes() -> None:
    assert [scheme_of(name) for name in ("S3://b/x", "/a/http://x", "C:\\x", "http:/x", "a b://x")] == [
        *("s3", "", "", "", "")
    ]


def test_a_long_name_is_shown_without_its_middle() -> None:
    assert shortened("a" * 200) == "a" * 200
    assert len(shortened("a" * 10**6)) < 200
