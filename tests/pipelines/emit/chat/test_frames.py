"""Boxes in the frame in which trainers open an image, and in the units of the models."""

from __future__ import annotations

import io
import itertools
import random

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from engine.images.decode import decode
from engine.records.boxes import Box
from pipelines.emit.chat.frames import Frame, in_units, opened_frame, resized

RED = (255, 0, 0)


def with_a_red_block(image_format: str, orientation: int) -> bytes:
    """A black image, stored as 9 x 6, with a red block near a corner."""
    pixels, file, exif = np.zeros((6, 9, 3), np.uint8), io.BytesIO(), Image.Exif()
    pixels[1:3, 5:8] = RED
    exif[274] = orientation
    Image.fromarray(pixels).save(
        file, image_format, exif=exif, **({"lossless": True} if image_format == "WEBP" else {})
    )
    return file.getvalue()


def red(pixels: npt.NDArray[np.uint8]) -> Box:
    rows, columns = np.nonzero(pixels[..., 0])
    return (float(columns.min()), float(rows.min()), float(columns.max() + 1), float(rows.max() + 1))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("image_format", ["PNG", "WEBP", "TIFF"])
def test_an_upright_box_is_turned_to_where_pillow_shows_it(image_format: str, orientation: int) -> None:
    data = with_a_red_block(image_format, orientation)
    opened, frame = Image.open(io.BytesIO(data)), opened_frame(data)
    assert opened.size == (frame.width, frame.height)
    assert frame.turned(red(decode(data))) == red(np.asarray(opened.convert("RGB")))


def test_resized_images_have_the_size_that_transformers_gives_them() -> None:
    transformers = pytest.importorskip("transformers.models.qwen2_vl.image_processing_pil_qwen2_vl")
    sides = [1, 5, 13, 14, 27, 28, 29, 42, 70, 640, 999, 1000, 3999, 4000, 4032]
    limits = [(3136, 12_845_056), (3136, 1_003_520), (784, 784), (200_704, 1_003_520)]
    for width, height, (low, high) in itertools.product(sides, sides, limits):
        if max(width, height) <= 200 * min(width, height):
            wide, tall = resized(width, height, low, high)
            assert (tall, wide) == transformers.smart_resize(height, width, min_pixels=low, max_pixels=high)


def test_coordinates_are_rounded_to_the_nearest_unit() -> None:
    chance = random.Random(5)
    for _ in range(2000):
        width, height = chance.randint(1, 4000), chance.randint(1, 4000)
        xs, ys = (sorted(chance.uniform(0, side) for _ in range(2)) for side in (width, height))
        box = (xs[0], ys[0], xs[1], ys[1])
        found = in_units(box, Frame(width, height), 1000, 1000)
        for axis, side in enumerate((width, height)):
            start, end = found[axis], found[axis + 2]
            assert 0 <= start < end <= 1000
            slack = (1.0 if end - start == 1 else 0.5) * side / 1000 + 1e-9
            assert abs(start * side / 1000 - box[axis]) <= slack
            assert abs(end * side / 1000 - box[axis + 2]) <= slack


@pytest.mark.parametrize(
    ("box", "size", "expected"),
    [
        ((0, 0, 4000, 3000), (4000, 3000), [0, 0, 1000, 1000]),
        ((3999, 2999, 4000, 3000), (4000, 3000), [999, 999, 1000, 1000]),
        ((2000, 0, 2001, 1), (4000, 3000), [500, 0, 501, 1]),
        ((0, 0, 1, 1), (1, 1), [0, 0, 1000, 1000]),
        ((10.4, 20.6, 60, 40), (60, 40), [173, 515, 1000, 1000]),
    ],
)
def test_boxes_at_the_border_and_of_one_pixel_keep_an_area(
    box: Box, size: tuple[int, int], expected: list[int]
) -> None:
    assert in_units(box, Frame(*size), 1000, 1000) == expected
