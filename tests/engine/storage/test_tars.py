from __future__ import annotations

import io
import tarfile

import pytest

from engine.storage.tars import TarWriter, _header

MEMBERS = [("0" * 32, "jpg", b"x" * 513), ("0" * 32, "json", b"{}"), ("f" * 32, "jpg", b"")]


def written() -> tuple[bytes, list[tuple[int, int]]]:
    file = io.BytesIO()
    with TarWriter(file) as tar:
        places = [tar.add(*member) for member in MEMBERS]
    return file.getvalue(), places


def test_a_member_is_found_at_the_offset_that_was_returned() -> None:
    data, places = written()
    assert [data[offset : offset + length] for offset, length in places] == [content for _, _, content in MEMBERS]


def test_the_standard_library_reads_the_same_members() -> None:
    data, places = written()
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        infos = tar.getmembers()
        assert [info.name for info in infos] == [f"{key}.{extension}" for key, extension, _ in MEMBERS]
        assert [(info.offset_data, info.size) for info in infos] == places
        assert {(info.mtime, info.uid, info.gid, info.uname, info.mode) for info in infos} == {(0, 0, 0, "", 0o644)}


def test_writing_twice_gives_the_same_bytes_in_whole_records() -> None:
    first, second = written()[0], written()[0]
    assert first == second
    assert len(first) % tarfile.RECORDSIZE == 0


@pytest.mark.parametrize("key", ["a.b", "A", "", "ü", "../a", "a" * 200])
def test_a_key_that_readers_would_cut_is_refused(key: str) -> None:
    with pytest.raises(ValueError, match="cannot be the name of a member"):
        TarWriter(io.BytesIO()).add(key, "jpg", b"")


def test_an_unfinished_archive_has_no_end_blocks() -> None:
    file = io.BytesIO()

    def fail() -> None:
        with TarWriter(file) as tar:
            tar.add("a", "txt", b"1")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert len(file.getvalue()) == 1024


@pytest.mark.parametrize("size", [0, 1, 511, 512, 8**7, 8**11 - 1])
@pytest.mark.parametrize("name", ["0.jpg", "f" * 32 + ".json", "z_-" * 26 + ".webp"])
def test_a_header_is_that_of_the_standard_library(name: str, size: int) -> None:
    expected = tarfile.TarInfo(name)
    expected.size = size
    assert _header(name, size) == expected.tobuf(tarfile.USTAR_FORMAT)


def test_a_member_too_large_for_its_header_is_refused() -> None:
    with pytest.raises(ValueError, match=r"'0\.jpg' has 8,589,934,592 bytes"):
        _header("0.jpg", 8**11)
