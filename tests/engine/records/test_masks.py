import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import EngineError
from engine.records import masks


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 10), st.integers(0, 99))
def test_a_mask_survives_encoding_and_decoding(height: int, width: int, density: int, seed: int) -> None:
    mask = np.random.default_rng(seed).random((height, width)) < density / 10
    rle = masks.encode(mask)
    assert (masks.decode(rle, width=width, height=height) == mask).all()
    assert masks.area(rle, width=width, height=height) == mask.sum()


def test_a_mask_of_another_size_is_refused() -> None:
    rle = masks.encode(np.ones((4, 6), np.bool_))
    with pytest.raises(EngineError, match="covers 24 pixels, its image has 6 x 5 = 30"):
        masks.decode(rle, width=6, height=5)


@pytest.mark.parametrize("rle", ["", "~~~", "0000", "hello"])
def test_counts_that_are_no_mask_are_refused(rle: str) -> None:
    with pytest.raises(EngineError, match="A mask covers"):
        masks.area(rle, width=6, height=4)


def test_pycocotools_reads_the_same_mask() -> None:
    from pycocotools import mask as coco

    mask = np.random.default_rng(3).random((17, 23)) < 0.4
    rle = masks.encode(mask)
    again = coco.decode([{"size": [17, 23], "counts": rle.encode()}])
    assert (np.asarray(again)[:, :, 0] == mask).all()


def test_the_box_of_a_mask_is_around_its_pixels() -> None:
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


def test_uncompressed_runs_go_column_by_column() -> None:
    rle = masks.from_counts([2, 2, 2], width=3, height=2)
    assert masks.decode(rle, width=3, height=2).tolist() == [[False, True, False], [False, True, False]]


def test_uncompressed_runs_must_cover_the_image() -> None:
    with pytest.raises(EngineError, match="cover 4 pixels"):
        masks.from_counts([2, 2], width=3, height=2)


@pytest.mark.parametrize("corner", [float("nan"), float("inf"), 2.1e8, -9e300])
def test_a_corner_far_outside_is_refused_before_memory_is_allocated(corner: float) -> None:
    with pytest.raises(EngineError, match="far outside of its image of 10 x 10 pixels"):
        masks.from_polygons([[2, 2, corner, 2, 8, 8]], width=10, height=10)


def test_corners_a_little_outside_are_cut_at_the_edge() -> None:
    rle = masks.from_polygons([[-20, -20, 40, -20, 40, 40, -20, 40]], width=10, height=10)
    assert masks.area(rle, width=10, height=10) == 100


def test_a_million_corners_across_the_image_are_refused_and_along_an_edge_they_are_not() -> None:
    across = np.tile([0.0, 0.0, 640.0, 480.0], 500_000)
    with pytest.raises(EngineError, match="outline is 640,000,000 pixels long"):
        masks.from_polygons([across.tolist()], width=640, height=480)
    turn = np.linspace(0, 2 * np.pi, 1_000_000)
    circle = np.stack([320 + 100 * np.cos(turn), 240 + 100 * np.sin(turn)], 1).ravel()
    rle = masks.from_polygons([circle.tolist()], width=640, height=480)
    assert masks.area(rle, width=640, height=480) == pytest.approx(np.pi * 100**2, rel=0.01)


def test_an_impossible_image_size_is_refused() -> None:
    with pytest.raises(EngineError, match="1000000000 x 1000000000 pixels"):
        masks.from_polygons([[0, 0, 5, 0, 5, 5]], width=10**9, height=10**9)


@pytest.mark.parametrize("rle", ["o" * 1_000_000, "0" * 7 + "o", "\u20ac", " 0"])
def test_counts_that_are_no_code_are_refused_quickly(rle: str) -> None:
    with pytest.raises(EngineError, match="A mask covers"):
        masks.decode(rle, width=6, height=4)


def test_negative_runs_are_refused() -> None:
    with pytest.raises(EngineError, match="cover 6 pixels"):
        masks.from_counts([8, -4, 2], width=3, height=2)
