"""The small pictures of the gallery."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from engine.images.decode import image_id
from engine.storage.files import Storage
from pipelines.gallery.thumbnails import SIDE, Thumbnail, thumbnail, thumbnails


def saved(path: Path, width: int, height: int, *, orientation: int = 1) -> dict[str, Any]:
    """A photo of noise, red in its top left corner. Returns its row of the view `images`."""
    pixels = np.random.default_rng(0).integers(0, 255, (height, width, 3), np.uint8)
    pixels[: height // 2, : width // 2] = (250, 0, 0)
    exif = Image.Exif()
    exif[274] = orientation
    Image.fromarray(pixels).save(path, quality=95, exif=exif)
    return {
        "image_id": image_id(path.read_bytes()),
        "uri": str(path),
        "byte_offset": 0,
        "byte_length": -1,
        "sources": [],
    }


def opened(picture: Thumbnail) -> Image.Image:
    assert picture.data_uri.startswith("data:image/webp;base64,")
    return Image.open(io.BytesIO(base64.b64decode(picture.data_uri.partition(",")[2])))


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Storage(str(tmp_path))


def test_the_longer_side_is_limited_and_a_small_image_keeps_its_size(storage: Storage, tmp_path: Path) -> None:
    assert opened(thumbnail(storage, saved(tmp_path / "a.jpg", 1200, 600))).size == (SIDE, SIDE // 2)
    assert opened(thumbnail(storage, saved(tmp_path / "b.jpg", 30, 20))).size == (30, 20)
    assert opened(thumbnail(storage, saved(tmp_path / "c.jpg", 2000, 2))).size == (SIDE, 1)


def test_a_picture_is_upright(storage: Storage, tmp_path: Path) -> None:
    turned = opened(thumbnail(storage, saved(tmp_path / "a.jpg", 64, 32, orientation=6)))
    assert turned.size == (32, 64)
    red, _, blue = turned.convert("RGB").getpixel((24, 8))  # type: ignore[misc]  # its left top corner is now at the right
    assert red > 200 > 100 > blue


def test_an_image_that_is_gone_has_the_reason(storage: Storage, tmp_path: Path) -> None:
    row = saved(tmp_path / "a.jpg", 30, 20)
    (tmp_path / "a.jpg").unlink()
    picture = thumbnail(storage, row)
    assert (picture.data_uri, picture.unreadable) == ("", f"the file is gone since ingest: {tmp_path / 'a.jpg'}")


def test_pictures_become_smaller_until_they_fit_together(storage: Storage, tmp_path: Path) -> None:
    rows = [saved(tmp_path / "a.jpg", 320, 240)] * 2
    for most in (60_000, 12_000):
        sizes = [len(picture.data_uri) for picture in thumbnails(storage, rows, most_bytes=most)]
        assert len(sizes) == 2
        assert most / 4 < sum(sizes) <= most
