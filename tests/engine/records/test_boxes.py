"""Boxes: area, overlap, clipping; the functions for one box agree with those for arrays."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.records.boxes import (
    Box,
    area,
    around,
    box_of,
    clipped,
    clipped_boxes,
    corners_of,
    iou,
    row_box,
    share_inside,
    shared_area,
)
from engine.records.overlaps import iou_pairs
from engine.schema import Region, as_row

SIDES = st.integers(-5, 25).map(float)
INTERVALS = st.tuples(SIDES, SIDES).map(sorted).filter(lambda ends: ends[0] < ends[1])
BOXES = st.tuples(INTERVALS, INTERVALS).map(lambda pair: (pair[0][0], pair[1][0], pair[0][1], pair[1][1]))


def test_the_share_of_a_box_inside_another_is_computed() -> None:
    one, other = (0.0, 0.0, 10.0, 10.0), (5.0, 0.0, 30.0, 10.0)
    assert (area(one), shared_area(one, other), share_inside(one, other)) == (100, 50, 0.5)
    assert iou(one, other) == pytest.approx(50 / 300)


def test_boxes_that_only_touch_do_not_overlap() -> None:
    assert iou((0, 0, 10, 10), (10, 0, 20, 10)) == 0
    assert iou((3, 3, 3, 9), (0, 0, 10, 10)) == 0  # no area


def test_a_region_and_its_row_have_one_box() -> None:
    region = Region(1, 2, 3, 4)
    assert box_of(region) == row_box(as_row(region)) == (1, 2, 3, 4)


@given(BOXES)
def test_the_box_around_its_own_corners_is_the_box(box: Box) -> None:
    assert around(corners_of(box)) == box


@given(BOXES, BOXES)
def test_the_overlap_of_two_boxes_equals_that_of_a_whole_shard(one: Box, other: Box) -> None:
    _, _, found = iou_pairs(np.zeros(2), np.array([one, other]), min_iou=1e-9)
    assert found.tolist() == ([pytest.approx(iou(one, other))] if iou(one, other) else [])


@given(BOXES)
def test_one_box_is_clipped_like_an_array_of_boxes(box: Box) -> None:
    inside = clipped(box, 20, 10)
    if inside[0] < inside[2] and inside[1] < inside[3]:
        assert clipped_boxes(np.array([box], np.float32), 20, 10).tolist() == [list(inside)]
    else:
        assert area(tuple(clipped_boxes(np.array([box]), 20, 10)[0].tolist())) == 0
