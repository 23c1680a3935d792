"""Every kind of row leads to the bytes of its image, and to no others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from engine.errors import DamageError, ImageError
from engine.images.decode import image_id
from engine.images.locate import (
    Locator,
    absolute,
    image_bytes,
    image_pixels,
    is_relative,
    locator_of,
    read_exactly,
    read_image,
)
from engine.storage.files import Storage
from engine.storage.open_uri import read_uri
from engine.storage.tars import TarWriter
from engine.storage.uris import parquet_uri, tar_uri
from specialists.synthetic.world import WorldOptions, scene_uri
from tests.written_sources import photographs, web_host, write_parquet, write_tars


def row_of(uri: str, data: bytes, offset: int = 0, length: int = -1) -> dict[str, Any]:
    return {"image_id": image_id(data), "uri": uri, "offset": offset, "length": length, "sources": [{"uri": uri}]}


@contextmanager
def a_file(folder: Path, photo: Path) -> Iterator[dict[str, Any]]:
    yield row_of(str(photo), photo.read_bytes())


@contextmanager
def packed_into_the_data_set(folder: Path, photo: Path) -> Iterator[dict[str, Any]]:
    data = photo.read_bytes()
    (folder / "images").mkdir()
    with (folder / "images" / "00000-12345678.tar").open("wb") as file, TarWriter(file) as tar:
        tar.add("another", "jpg", b"another")
        offset, length = tar.add(image_id(data), "jpg", data)
    yield row_of("images/00000-12345678.tar", data, offset, length)


@contextmanager
def a_member_of_a_foreign_tar(folder: Path, photo: Path) -> Iterator[dict[str, Any]]:
    (tar,), data = write_tars(folder, [photo]), photo.read_bytes()
    yield row_of(tar_uri("00000.jpg", str(tar)), data, tar.read_bytes().index(data), len(data))


@contextmanager
def a_member_known_by_name_alone(folder: Path, photo: Path) -> Iterator[dict[str, Any]]:
    (tar,) = write_tars(folder, [photo])
    yield row_of(tar_uri("00000.jpg", str(tar)), photo.read_bytes())


@contextmanager
def a_row_of_a_parquet_file(folder: Path, photo: Path) -> Iterator[dict[str, Any]]:
    yield row_of(parquet_uri("image", 0, str(write_parquet(folder / "x.parquet", [photo]))), photo.read_bytes())


@contextmanager
def a_scene_of_the_world(folder: Path, photo: Path) -> Iterator[dict[str, Any]]:
    uri = scene_uri(3, WorldOptions(seed=5))
    yield row_of(uri, read_uri(uri))


@contextmanager
def a_file_on_the_web(folder: Path, photo: Path) -> Iterator[dict[str, Any]]:
    with web_host({"/a.jpg": photo.read_bytes()}) as (host, _):
        yield row_of(f"{host}/a.jpg", photo.read_bytes())


@contextmanager
def a_file_that_was_moved(folder: Path, photo: Path) -> Iterator[dict[str, Any]]:
    row = row_of("/gone/a.jpg", photo.read_bytes())
    yield row | {"sources": [{"uri": "/gone/a.jpg"}, {"uri": str(photo)}]}


KINDS = [
    a_file,
    packed_into_the_data_set,
    a_member_of_a_foreign_tar,
    a_member_known_by_name_alone,
    a_row_of_a_parquet_file,
    a_scene_of_the_world,
    a_file_on_the_web,
    a_file_that_was_moved,
]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_kind_of_row_leads_to_its_image(tmp_path: Path, kind: Callable[..., Any]) -> None:
    (photo,) = photographs(tmp_path / "photos", 1)
    storage = Storage(str(tmp_path))
    with kind(tmp_path, photo) as row:
        assert image_id(image_bytes(storage, row)) == row["image_id"]
        assert image_pixels(storage, row).shape[2] == 3
        view = {name: row[name] for name in ("image_id", "uri", "sources")}
        view |= {"byte_offset": row["offset"], "byte_length": row["length"]}  # as SQL has it
        assert image_bytes(storage, view) == image_bytes(storage, row)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_bytes_of_another_image_are_an_error(tmp_path: Path, kind: Callable[..., Any]) -> None:
    (photo,) = photographs(tmp_path / "photos", 1)
    with kind(tmp_path, photo) as row, pytest.raises((ImageError, DamageError)) as error:
        image_bytes(Storage(str(tmp_path)), row | {"image_id": image_id(b"another")})
    if isinstance(error.value, ImageError):
        assert error.value.reason == "changed"
    else:
        assert is_relative(row["uri"])  # the data set's own tar: the data set is damaged


def test_a_pair_of_a_release_is_found_from_anywhere(tmp_path: Path) -> None:
    (tmp_path / "v1").mkdir()
    with (tmp_path / "v1" / "train-00000.tar").open("wb") as file, TarWriter(file) as tar:
        offset, length = tar.add("a", "jpg", b"a photo")
    pair = {"uri": "train-00000.tar", "offset": offset, "length": length}
    located = locator_of(pair)._replace(uri=absolute(pair["uri"], str(tmp_path / "v1")))
    assert read_exactly(located, image_id(b"a photo")) == b"a photo"
    with pytest.raises(ImageError, match="are not those of image") as error:
        read_exactly(located, image_id(b"another"))
    assert error.value.reason == "changed"
    with pytest.raises(FileNotFoundError):
        read_exactly(Locator(str(tmp_path / "v2.tar")), "")


def test_absolute_uris_are_not_changed() -> None:
    assert [absolute(uri, "/set") for uri in ("images/0.tar", "/photos/a.jpg", "s3://bucket/a.jpg")] == [
        *("/set/images/0.tar", "/photos/a.jpg", "s3://bucket/a.jpg")
    ]


def test_an_image_whose_host_is_gone_is_read_from_another_of_its_sources(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"a photo")
    name, storage = image_id(b"a photo"), Storage(str(tmp_path))
    with web_host({"/a.jpg": 410}) as (host, _):
        place = Locator(f"{host}/a.jpg")
        assert read_image(storage, name, place, lambda: [place.uri, str(tmp_path / "a.jpg")]) == b"a photo"
        with pytest.raises(ImageError, match="its host does not send it") as error:
            read_image(storage, name, place)
    assert error.value.reason == "unreachable"
