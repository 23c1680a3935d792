from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.records import masks
from model.pairs.polygons import outline
from pipelines.ingest.sources.coco import CocoJson
from tests.shared_data import shared

Mask = npt.NDArray[np.bool_]


def drawn(*boxes: tuple[int, int, int, int], width: int = 60, height: int = 40) -> Mask:
    mask = np.zeros((height, width), np.bool_)
    for x1, y1, x2, y2 in boxes:
        mask[y1:y2, x1:x2] = True
    return mask


def parts_of(mask: Mask, max_points: int = 50) -> list[list[float]]:
    return outline(masks.encode(mask), width=mask.shape[1], height=mask.shape[0], max_points=max_points)


def area(part: list[float]) -> float:
    """Signed area: positive if it runs clockwise in the displayed image."""
    x, y = np.array(part).reshape(-1, 2).T
    return float(np.sum(x * np.roll(y, -1) - y * np.roll(x, -1)) / 2)


def overlap(mask: Mask, parts: list[list[float]]) -> float:
    height, width = mask.shape
    again = masks.from_polygons(parts, width=width, height=height)
    return masks.mask_iou(masks.encode(mask), again, width=width, height=height)


def test_corners_lie_on_the_edges_of_pixels_clockwise_from_the_top_left() -> None:
    assert parts_of(drawn((10, 5, 30, 25))) == [[10, 5, 30, 5, 30, 25, 10, 25]]


def test_one_pixel_has_four_corners() -> None:
    assert parts_of(drawn((7, 9, 8, 10))) == [[7, 9, 8, 9, 8, 10, 7, 10]]


def test_a_line_of_one_pixel_has_an_outline() -> None:
    assert parts_of(drawn((0, 39, 60, 40))) == [[0, 39, 60, 39, 60, 40, 0, 40]]


def test_parts_come_largest_first() -> None:
    assert [area(part) for part in parts_of(drawn((0, 0, 5, 5), (10, 10, 30, 30)))] == [400, 25]


def test_tiny_parts_are_dropped() -> None:
    assert len(parts_of(drawn((0, 0, 30, 30), (40, 0, 42, 4)))) == 1


def test_holes_are_filled() -> None:
    mask = drawn((10, 5, 30, 25))
    mask[10:15, 15:20] = False
    assert parts_of(mask) == [[10, 5, 30, 5, 30, 25, 10, 25]]


def test_an_empty_mask_has_no_outline() -> None:
    assert parts_of(drawn()) == []


def test_a_ragged_outline_has_at_most_max_points_corners() -> None:
    rows, columns = np.mgrid[:400, :400]
    angle, radius = np.arctan2(rows - 200, columns - 200), np.hypot(rows - 200, columns - 200)
    star = radius < 120 + 60 * np.sin(12 * angle)
    for limit in (4, 12, 50):
        assert 3 <= len(parts_of(star, limit)[0]) // 2 <= limit
    assert overlap(star, parts_of(star, 200)) > 0.95


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(*[st.integers(0, 39)] * 4), min_size=1, max_size=6),
    st.integers(4, 50),
)
def test_every_outline_is_clockwise_starts_top_left_and_keeps_the_limit(
    boxes: list[tuple[int, int, int, int]], limit: int
) -> None:
    mask = drawn(*((min(a, c), min(b, d), max(a, c) + 1, max(b, d) + 1) for a, b, c, d in boxes))
    for part in parts_of(mask, limit):
        corners = np.array(part).reshape(-1, 2)
        assert 3 <= len(corners) <= limit
        assert area(part) > 0
        assert corners[0].sum() == corners.sum(axis=1).min()


def test_fifty_corners_keep_human_masks() -> None:
    """IoU of COCO's masks with the polygons made of them: the best that a model trained on these can reach."""
    pytest.importorskip("pycocotools")
    folder = shared("coco/dev")
    overlaps = []
    for entry in CocoJson(str(folder / "instances.json"), str(folder / "images")).entries():
        size = {"width": entry.width, "height": entry.height}
        for region in entry.labels.regions if entry.labels else ():
            parts = outline(region.rle, **size)
            overlaps.append(masks.mask_iou(region.rle, masks.from_polygons(parts, **size), **size))
    assert len(overlaps) == 881
    assert np.mean(overlaps) > 0.985
    assert min(overlaps) > 0.5
