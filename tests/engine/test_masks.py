import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import masks
from engine.errors import EngineError


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 10), st.integers(0, 99))
def test_a_mask_decodes_to_what_was_encoded(height: int, width: int, density: int, seed: int) -> None:
    mask = np.random.default_rng(seed).random((height, width)) < density / 10
    rle = masks.encode(mask)
    assert (masks.decode(rle, width=width, height=height) == mask).all()
    assert masks.area(rle, width=width, height=height) == mask.sum()


def test_a_mask_of_another_size_is_refused() -> None:
    rle = masks.encode(np.ones((4, 6), np.bool_))
    with pytest.raises(EngineError, match="covers 24 pixels, its image has 6 x 5 = 30"):
        masks.decode(rle, width=6, height=5)


@pytest.mark.parametrize("rle", ["", "~~~", "0000", "hello"])
def test_what_is_no_mask_is_refused(rle: str) -> None:
    with pytest.raises(EngineError, match="A mask covers"):
        masks.area(rle, width=6, height=4)


def test_pycocotools_reads_the_same_mask() -> None:
    from pycocotools import mask as coco

    mask = np.random.default_rng(3).random((17, 23)) < 0.4
    rle = masks.encode(mask)
    again = coco.decode([{"size": [17, 23], "counts": rle.encode()}])
    assert (np.asarray(again)[:, :, 0] == mask).all()


def test_the_box_of_a_mask_bounds_its_pixels() -> None:
    mask = np.zeros((20, 30), np.bool_)
    mask[5:9, 10:22] = True
    assert masks.bbox(masks.encode(mask), width=30, height=20) == (10, 5, 22, 9)


def test_an_empty_mask_has_no_box() -> None:
    assert masks.bbox(masks.encode(np.zeros((2, 3), np.bool_)), width=3, height=2) == (0, 0, 0, 0)


def test_overlapping_polygons_count_their_union() -> None:
    square = [2, 2, 8, 2, 8, 8, 2, 8]
    once = masks.from_polygons([square], width=10, height=10)
    assert masks.from_polygons([square, square], width=10, height=10) == once
    assert masks.area(once, width=10, height=10) == 36


def test_polygons_without_three_corners_enclose_nothing() -> None:
    assert masks.area(masks.from_polygons([[1, 1, 5, 5]], width=10, height=10), width=10, height=10) == 0


def test_a_mask_survives_its_own_outline() -> None:
    mask = np.zeros((40, 40), np.bool_)
    mask[10:30, 8:28] = True
    outline = masks.to_polygons(mask)
    again = masks.from_polygons(outline, width=40, height=40)
    assert masks.mask_iou(again, masks.encode(mask), width=40, height=40) > 0.85


def test_uncompressed_runs_are_taken_column_by_column() -> None:
    rle = masks.from_counts([2, 2, 2], width=3, height=2)
    assert masks.decode(rle, width=3, height=2).tolist() == [[False, True, False], [False, True, False]]


def test_uncompressed_runs_must_cover_the_image() -> None:
    with pytest.raises(EngineError, match="cover 4 pixels"):
        masks.from_counts([2, 2], width=3, height=2)
