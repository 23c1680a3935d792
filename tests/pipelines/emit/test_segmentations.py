"""The shape of an object: mask, quad or box."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from engine.records import masks
from pipelines.emit.objects import objects
from pipelines.emit.segmentations import Shape, shape_of, signed_area
from tests.builders import region


def shape(box: tuple[float, ...] = (10, 10, 20, 30), **given: Any) -> Shape:
    (found,), _ = objects({"width": 60, "height": 40, "regions": [region(box, **given)]})
    return shape_of(found, 60, 40)


def mask(width: int = 60, height: int = 40, *, filled: bool = True) -> str:
    pixels = np.zeros((height, width), np.uint8)
    pixels[10:13, 10:14] = filled
    return masks.encode(pixels)


def test_the_area_of_an_object_with_a_mask_is_that_of_the_mask() -> None:
    assert shape(rle=mask()) == Shape(mask(), (), 12.0)


@pytest.mark.parametrize(
    ("rle", "fault"), [(mask(filled=False), "empty_mask"), (mask(40, 60), ""), (mask(61, 40), "mask_of_another_size")]
)
def test_a_mask_without_pixels_or_of_another_size_is_left_out_with_a_reason(rle: str, fault: str) -> None:
    assert shape(rle=rle).fault == fault
    if fault:
        assert shape(rle=rle)[:3] == ("", (), 200.0)


def test_a_quad_is_the_shape_of_an_object_without_a_mask() -> None:
    assert shape(quad=[10.0, 10.0, 20.0, 12.0, 20.0, 30.0, 10.0, 28.0]).area == 180.0


def test_corners_outside_the_image_are_moved_to_its_edge() -> None:
    found = shape((0, 0, 60, 40), quad=[-5.0, -5.0, 70.0, 0.0, 70.0, 50.0, -5.0, 50.0])
    assert (found.quad, found.area) == ([0.0, 0.0, 60.0, 0.0, 60.0, 40.0, 0.0, 40.0], 2400.0)


def test_a_quad_without_area_counts_as_none() -> None:
    assert shape(quad=[10.0, 10.0, 20.0, 10.0, 20.0, 10.0, 10.0, 10.0]) == Shape("", (), 200.0)


def test_the_area_of_a_clockwise_polygon_is_positive() -> None:
    square = [0.0, 0.0, 2.0, 0.0, 2.0, 2.0, 0.0, 2.0]
    mirrored = [0.0, 2.0, 2.0, 2.0, 2.0, 0.0, 0.0, 0.0]
    assert (signed_area(square), signed_area(mirrored), signed_area([])) == (4.0, -4.0, 0)
