"""The quick look at a JPEG's header agrees with Pillow, or leaves the file to Pillow."""

from __future__ import annotations

import io
import random
from typing import Any

import numpy as np
import pytest
from PIL import Image

from engine.images.decode import Header, Limits, probe
from engine.images.jpeg_header import jpeg_size


def jpeg(mode: str = "RGB", size: tuple[int, int] = (37, 21), **options: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8)).convert(mode).save(
        file, "JPEG", **options
    )
    return file.getvalue()


def segment(marker: int, content: bytes) -> bytes:
    return bytes((0xFF, marker)) + (len(content) + 2).to_bytes(2, "big") + content


def by_pillow(data: bytes) -> tuple[Any, ...] | None:
    """What Pillow states: format, stored size, orientation and frames. None if it refuses the file."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            turned = image.getexif().get(274, 1)
            return image.format, image.size, turned if turned in range(1, 9) else 1, getattr(image, "n_frames", 1)
    except Exception:  # noqa: BLE001  Pillow raises all kinds of errors on damaged bytes
        return None


PLAIN = [
    jpeg(),
    jpeg("L"),
    jpeg("CMYK"),
    jpeg(progressive=True),
    jpeg(icc_profile=b"profile" * 20000),
    jpeg(comment=b"by nobody", quality=30),
]


@pytest.mark.parametrize("data", PLAIN)
def test_ordinary_jpegs_need_no_pillow(data: bytes) -> None:
    assert jpeg_size(data) == (37, 21)
    assert by_pillow(data) == ("JPEG", (37, 21), 1, 1)


def test_a_photo_that_may_be_turned_is_left_to_pillow() -> None:
    exif = Image.Exif()
    exif[274] = 6
    assert jpeg_size(jpeg(exif=exif)) is None
    assert probe(jpeg(exif=exif)) == Header("JPEG", 21, 37, 6)
    assert jpeg_size(jpeg(xmp=b"<x:xmpmeta tiff:Orientation='6'/>")) is None


def test_a_jpeg_beyond_the_limits_is_refused_as_before() -> None:
    for limits, reason in ((Limits(max_pixels=700), "too_many_pixels"), (Limits(max_bytes=100), "too_many_bytes")):
        with pytest.raises(Exception, match=reason.replace("too_many_", "max_")):
            probe(jpeg(), limits)
    with pytest.raises(Exception, match="min_side"):
        probe(jpeg(), Limits(min_side=22))


def segments_at(data: bytes) -> list[int]:
    """Where the segments of a JPEG start, up to its pixels."""
    places = [2]
    while data[places[-1] + 1] != 0xDA:
        places.append(places[-1] + 2 + int.from_bytes(data[places[-1] + 2 : places[-1] + 4], "big"))
    return places


def changed(data: bytes, dice: random.Random) -> bytes:
    """The file with a byte of its header changed, cut off, or with a segment put in, left out or repeated."""
    places = segments_at(data)
    kind, at = dice.randrange(5), dice.choice(places)
    if kind == 0:
        header = bytearray(data[: places[-1] + 12])
        for _ in range(dice.randint(1, 3)):
            place = dice.choice((dice.randrange(len(header)), dice.choice(places) + dice.randrange(10)))
            header[min(place, len(header) - 1)] = dice.choice((0, 1, 2, 3, 8, 255, dice.randrange(256)))
        return bytes(header) + data[len(header) :]
    if kind == 1:
        return data[: dice.randrange(places[-1] + 14)]
    if kind == 2:
        starts = (b"", b"JFIF\0", b"Exif\0\0", b"MPF\0", b"ICC_PROFILE\0", b"Photoshop 3.0\0", b"Adobe", b"FPXR\0")
        content = dice.choice(starts) + dice.randbytes(dice.choice((0, 1, 2, 6, 14, 65, 130)))
        return data[:at] + segment(dice.randrange(0xC0, 0xFF), content) + data[at:]
    following = places[places.index(at) + 1] if at != places[-1] else at
    return data[:at] + data[following:] if kind == 3 else data[:following] + data[at:]


@pytest.mark.parametrize("seed", range(len(PLAIN)))
def test_a_damaged_header_gets_the_answer_of_pillow_or_none(seed: int) -> None:
    dice, quick, refused = random.Random(seed), 0, 0
    for _ in range(400):
        data = changed(PLAIN[seed], dice)
        size, pillow = jpeg_size(data), by_pillow(data)
        refused += pillow is None
        if size is not None:
            quick += 1
            assert pillow == ("JPEG", size, 1, 1), data[:400]
    assert quick > 20
    assert refused > 20
