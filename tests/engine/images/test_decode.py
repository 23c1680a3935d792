from __future__ import annotations

import io
import json
import subprocess
import sys
import textwrap
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from engine.errors import ConfigError, ImageError
from engine.images import decode as images
from engine.images.decode import Limits, decode, image_id, probe
from engine.images.orientation import orient_array, orient_box, orient_quad, orient_rle
from tests.shared_data import shared

ORIENTATIONS = range(1, 9)


def picture(width: int = 12, height: int = 8) -> Image.Image:
    """A picture that looks different in all eight orientations."""
    values = np.arange(width * height * 3, dtype=np.uint32) * 7 % 251
    return Image.fromarray(values.reshape(height, width, 3).astype(np.uint8))


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def exif(orientation: int) -> Image.Exif:
    tags = Image.Exif()
    tags[274] = orientation
    return tags


def reason(data: bytes, **limits: int) -> str:
    """The reason from `probe` and from `decode`, which must agree."""
    with pytest.raises(ImageError) as probed:
        probe(data, Limits(**limits))
    with pytest.raises(ImageError) as decoded:
        decode(data, Limits(**limits))
    assert probed.value.reason == decoded.value.reason
    assert probed.value.reason in images.REASONS
    return probed.value.reason


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_a_jpegs_orientation_is_read_from_exif_and_xmp(orientation: int) -> None:
    xmp = f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><tiff:Orientation>{orientation}</tiff:Orientation></x:xmpmeta>'
    assert probe(encoded(picture(), "JPEG", exif=exif(orientation))).orientation == orientation
    assert probe(encoded(picture(), "JPEG", xmp=xmp.encode())).orientation == orientation
    assert probe(encoded(picture(), "JPEG")).orientation == 1


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP", "AVIF"])
def test_pixels_and_header_are_upright(kind: str, orientation: int) -> None:
    lossless: dict[str, dict[str, Any]] = {"WEBP": {"lossless": True}, "AVIF": {"quality": 100, "subsampling": "4:4:4"}}
    data = encoded(picture(), kind, exif=exif(orientation), **lossless.get(kind, {}))
    header, pixels = probe(data), decode(data)
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")
    assert (header.format, header.orientation, header.stored_size) == (kind, orientation, (12, 8))
    assert (header.height, header.width, 3) == pixels.shape
    assert np.array_equal(pixels, np.asarray(upright))


def test_an_orientation_after_the_pixels_of_a_png_is_read() -> None:
    data = encoded(picture())
    body = b"eXIf" + exif(6).tobytes()[6:]
    chunk = (len(body) - 4).to_bytes(4, "big") + body + zlib.crc32(body).to_bytes(4, "big")
    data = data[:-12] + chunk + data[-12:]
    assert (probe(data).width, probe(data).height) == (8, 12)
    assert np.array_equal(decode(data), orient_array(np.asarray(picture()), 6))


def test_a_photo_with_damaged_exif_is_read() -> None:
    data = encoded(picture(), exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff")
    assert probe(data).orientation == 1
    assert np.array_equal(decode(data), np.asarray(picture()))


def test_transparent_pixels_become_white() -> None:
    half = Image.new("RGBA", (2, 1), (200, 0, 0, 255))
    half.putpixel((1, 0), (10, 10, 10, 0))
    palette = Image.new("P", (2, 1), 0)
    palette.putpalette([200, 0, 0, 9, 9, 9])
    palette.putpixel((1, 0), 1)
    expected = [[[200, 0, 0], [255, 255, 255]]]
    assert decode(encoded(half)).tolist() == expected
    assert decode(encoded(palette, transparency=1)).tolist() == expected
    assert decode(encoded(palette, "GIF", transparency=1)).tolist() == expected
    assert decode(encoded(half.convert("LA"))).tolist() == [[[60] * 3, [255] * 3]]


def test_cmyk_becomes_rgb() -> None:
    pixels = decode(encoded(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG", quality=95))
    assert np.abs(pixels.astype(int) - [255, 0, 0]).max() < 8


def test_sixteen_bits_are_scaled_not_clipped() -> None:
    values = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    grey = decode(encoded(Image.fromarray(values)))[:, :, 0]
    assert np.array_equal(grey, np.rint(values / 257).astype(np.uint8))


@pytest.mark.parametrize(
    ("values", "grey"),
    [
        (np.array([[0.0, 0.5, 1.0]], np.float32), [0, 128, 255]),
        (np.array([[0.0, 100.0, 255.0]], np.float32), [0, 100, 255]),
        (np.array([[-10.0, 0.0, 10.0]], np.float32), [0, 128, 255]),
        (np.array([[0, 100, 255]], np.int32), [0, 100, 255]),
        (np.array([[0, 257, 65535]], np.int32), [0, 1, 255]),
        (np.array([[5.5e9, 5.5e9, 5.5e9]], np.float32), [255, 255, 255]),
    ],
)
def test_values_of_any_range_become_grey(values: np.ndarray[Any, Any], grey: list[int]) -> None:
    assert decode(encoded(Image.fromarray(values), "TIFF"))[0, :, 0].tolist() == grey


def test_one_bit_is_black_and_white() -> None:
    image = Image.new("1", (2, 1), 0)
    image.putpixel((1, 0), 1)
    assert decode(encoded(image)).tolist() == [[[0] * 3, [255] * 3]]


def test_the_first_frame_of_an_animation_is_read() -> None:
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "lime", "blue")]
    for kind in ("GIF", "PNG", "WEBP"):
        data = encoded(
            frames[0], kind, save_all=True, append_images=frames[1:], **{"lossless": True} if kind == "WEBP" else {}
        )
        assert probe(data).frames == 2
        assert decode(data)[0, 0].tolist() == [255, 0, 0]


def test_every_reason_occurs() -> None:
    png = encoded(picture())
    assert reason(b"") == "empty"
    assert reason(b"hello, this is a text file\n") == "not_an_image"
    assert reason(b"%!PS-Adobe-3.0 EPSF-3.0\n" + b" " * 100) == "unsupported"
    assert reason(png, max_bytes=len(png) - 1) == "too_many_bytes"
    assert reason(png, max_pixels=95) == "too_many_pixels"
    assert reason(png, min_side=9) == "too_small"
    assert reason(png[:20]) == "corrupt"
    with pytest.raises(ImageError) as error:
        decode(encoded(picture(64, 64), "JPEG")[:-200])
    assert error.value.reason == "corrupt"


def test_limits_are_inclusive() -> None:
    png = encoded(picture())
    assert decode(png, Limits(max_pixels=96, max_bytes=len(png), min_side=8)).shape == (8, 12, 3)


def test_limits_beyond_those_of_pillow_are_refused() -> None:
    with pytest.raises(ConfigError, match="max_pixels is 1000000000"):
        Limits(max_pixels=10**9)


def test_the_id_of_an_image_is_a_hash_of_its_bytes() -> None:
    assert image_id(b"") == "e3b0c44298fc1c149afbf4c8996fb924"


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_boxes_quads_and_masks_turn_with_the_pixels(orientation: int) -> None:
    from pycocotools import mask

    stored = np.zeros((8, 12), np.uint8)
    stored[1:4, 2:9] = 1
    upright = orient_array(stored, orientation)
    rows, columns = np.nonzero(upright)
    box = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    counts = mask.encode(np.asfortranarray(stored))["counts"].decode()
    turned = orient_rle(counts, 12, 8, orientation)
    assert orient_box((2, 1, 9, 4), 12, 8, orientation) == box
    assert np.array_equal(mask.decode({"size": list(upright.shape), "counts": turned.encode()}), upright)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_a_quad_stays_clockwise(orientation: int) -> None:
    quad = orient_quad([2, 1, 9, 1, 9, 4, 2, 4], 12, 8, orientation)
    points = np.array(quad).reshape(4, 2)
    following = np.roll(points, -1, axis=0)
    assert np.sum(points[:, 0] * following[:, 1] - following[:, 0] * points[:, 1]) == 2 * 21
    assert sorted(quad[0::2]) == sorted(orient_box((2, 1, 9, 4), 12, 8, orientation)[0::2] * 2)


def test_threads_decode_the_same_without_warnings() -> None:
    data = [encoded(picture(40 + n, 30), "JPEG", exif=exif(1 + n % 8)) for n in range(24)]
    alone = [decode(item) for item in data]
    with warnings.catch_warnings(record=True) as caught, ThreadPoolExecutor(6) as pool:
        together = list(pool.map(decode, data * 3))
    assert all(np.array_equal(a, b) for a, b in zip(alone * 3, together, strict=True))
    assert caught == []


def test_every_hostile_file_gives_pixels_or_a_reason() -> None:
    """Runs in another process with 1.5 GiB, so that a crash fails only this test."""
    root = shared("hostile")
    manifest = json.loads((root / "manifest.json").read_text())
    program = textwrap.dedent("""
        import json, resource, sys
        from pathlib import Path
        resource.setrlimit(resource.RLIMIT_AS, (1536 << 20, 1536 << 20))
        from engine.errors import ImageError
        from engine.images.decode import decode, probe
        for name in json.load(sys.stdin):
            data = Path(name).read_bytes()
            try:
                header, pixels = probe(data), decode(data)
                assert pixels.shape == (header.height, header.width, 3) and pixels.dtype == "uint8", name
                answer = "loads"
            except ImageError as error:
                answer = error.reason
            print(json.dumps([name, answer]), flush=True)
    """)
    names = [str(root / item["file"]) for item in manifest]
    done = subprocess.run(
        [sys.executable, "-c", program],
        check=False,
        input=json.dumps(names),
        capture_output=True,
        text=True,
        timeout=120,
        cwd=Path(images.__file__).parents[2],
    )
    answers = dict(json.loads(line) for line in done.stdout.splitlines())
    assert done.returncode == 0, done.stderr
    assert len(answers) == 152
    assert "Warning" not in done.stderr
    ours = {name: answer == "loads" for name, answer in answers.items()}
    pillows = {str(root / item["file"]): item["pillow_13"]["outcome"] == "loads" for item in manifest}
    refused = {Path(name).suffix for name in names if ours[name] != pillows[name]}
    assert sum(ours.values()) == 110
    assert refused == {".psd", ".ico"}  # Pillow can read layers and icons; the engine does not
