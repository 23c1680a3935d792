from __future__ import annotations

from pathlib import Path

import fsspec
import pytest

from engine.errors import ImageError
from engine.storage.open_uri import read_uri
from engine.storage.uris import broken_uri, column_and_row, parquet_uri, short_name, split_uri, tar_uri
from tests.written_sources import photographs, write_parquet, write_tars


def test_a_uri_is_split_into_kind_member_and_container() -> None:
    assert split_uri(tar_uri("a/00012.jpg", "s3://bucket/x.tar")) == ("tar", "a/00012.jpg", "s3://bucket/x.tar")
    assert split_uri("/photos/a::b.jpg") == ("", "", "/photos/a::b.jpg")
    kind, member, container = split_uri(parquet_uri("an image/1", 17, "/photos/x.parquet"))
    assert (kind, container, column_and_row(member)) == ("parquet", "/photos/x.parquet", ("an image/1", 17))


@pytest.mark.parametrize(
    ("uri", "name"),
    [
        ("/photos/a.jpg", "a.jpg"),
        ("tar://x/00012.jpg::/photos/x.tar", "00012.jpg"),
        ("tar://*::/photos/x.tar", "x.tar/*"),
        ("parquet://image/17::s3://bucket/x.parquet", "x.parquet/17"),
    ],
)
def test_short_names_of_files_members_and_rows(uri: str, name: str) -> None:
    assert short_name(uri) == name


def test_a_member_is_read_by_offset_or_by_name(tmp_path: Path) -> None:
    photos = photographs(tmp_path / "photos", 3)
    (tar,) = write_tars(tmp_path, photos)
    uri, data = tar_uri("00002.jpg", str(tar)), photos[2].read_bytes()
    at = tar.read_bytes().index(data)
    assert read_uri(uri, at, len(data)) == data
    assert read_uri(uri) == data
    with fsspec.open(uri) as file:
        assert file.read() == data
    assert read_uri(uri, at, len(data), at_most=7) == read_uri(uri, at_most=7) == data[:7]
    with pytest.raises(FileNotFoundError):
        read_uri(tar_uri("00003.jpg", str(tar)))


def test_a_row_is_read_by_its_number(tmp_path: Path) -> None:
    photos = photographs(tmp_path / "photos", 3)
    file = write_parquet(tmp_path / "x.parquet", photos)
    assert read_uri(parquet_uri("image", 1, str(file))) == photos[1].read_bytes()
    assert read_uri(parquet_uri("image", 1, str(file)), at_most=5) == photos[1].read_bytes()[:5]
    for wrong in (parquet_uri("image", 3, str(file)), parquet_uri("picture", 0, str(file)), parquet_uri("a", 0, "/no")):
        with pytest.raises(FileNotFoundError):
            read_uri(wrong)
    with pytest.raises(ImageError, match="has no image") as error:
        read_uri(parquet_uri("caption", 0, str(file)))
    assert error.value.reason == "no_image"


@pytest.mark.parametrize(
    ("uri", "offset", "reason"),
    [
        ("tar://00012.*::/x.tar", 0, "no_image"),
        (broken_uri("tar", "/x.tar"), 1024, "truncated"),
        (broken_uri("tar", "/x.tar"), 0, "not_a_tar"),
        (broken_uri("parquet", "/x.parquet"), 0, "not_parquet"),
    ],
)
def test_a_uri_that_stands_for_no_image_is_an_image_error(uri: str, offset: int, reason: str) -> None:
    with pytest.raises(ImageError, match=r"/x\.") as error:
        read_uri(uri, offset, 0)
    assert error.value.reason == reason


def test_an_unknown_scheme_fails_that_image() -> None:
    with pytest.raises(ImageError, match="no file system can open it") as error:
        read_uri("nosuch://x/a.jpg")
    assert error.value.reason == "unreachable"


def test_names_may_contain_two_colons() -> None:
    for member, container in [
        ("a::b.jpg", "/x.tar"),
        ("b.jpg", "/a::b/x.tar"),
        ("a::b.jpg", "/c::d/x.tar"),
        ("b.jpg", "http://[::1]:80/x.tar"),
        ("b.jpg", "s3://bucket/a::b.tar"),
        ("a:b.jpg", "simplecache::s3://b/x.tar"),
    ]:
        assert split_uri(tar_uri(member, container)) == ("tar", member, container)
    assert split_uri("http://[::1]/x.jpg") == ("", "", "http://[::1]/x.jpg")
