"""iou_pairs and suppress against naive loops."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import ConfigError
from engine.records.boxes import Box
from engine.records.overlaps import iou_pairs, suppress, suppressors

coordinate = st.integers(0, 6)
box = st.builds(lambda x, y, w, h: (float(x), float(y), float(x + w), float(y + h)), *(coordinate,) * 4)
shard = st.lists(st.tuples(st.integers(0, 3), box, st.none() | st.sampled_from([0.1, 0.5, 0.9])), max_size=24)


def naive_iou(a: Box, b: Box) -> float:
    w, h = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    inter = max(w, 0.0) * max(h, 0.0)
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - inter
    return inter / union if inter > 0 else 0.0


def naive_keep(image: list[int], boxes: list[Box], score: list[float | None], min_iou: float) -> list[bool]:
    order = sorted(range(len(boxes)), key=lambda k: (-np.inf if score[k] is None else -float(score[k] or 0), k))
    kept: list[int] = []
    for k in order:
        rivals = [o for o in kept if image[o] == image[k] and naive_iou(boxes[o], boxes[k]) >= min_iou]
        if score[k] is None or not rivals:
            kept.append(k)
    return [k in kept for k in range(len(boxes))]


@settings(deadline=None)
@given(shard, st.sampled_from([0.01, 0.5, 0.8, 1.0]), st.sampled_from([1, 7, 1 << 19]))
def test_pairs_are_those_of_the_naive_loop_in_any_row_order(
    rows: list[tuple[int, Box, float | None]], min_iou: float, chunk: int
) -> None:
    boxes = np.array([r[1] for r in rows], np.float32).reshape(-1, 4)
    i, j, iou = iou_pairs(np.array([r[0] for r in rows], np.int64), boxes, min_iou=min_iou, chunk=chunk)
    expected = [
        (a, b, naive_iou(rows[a][1], rows[b][1]))
        for a, b in itertools.combinations(range(len(rows)), 2)
        if rows[a][0] == rows[b][0] and naive_iou(rows[a][1], rows[b][1]) >= min_iou
    ]
    assert list(zip(i.tolist(), j.tolist(), iou.tolist(), strict=True)) == expected


@settings(deadline=None)
@given(shard, st.sampled_from([0.1, 0.5]))
def test_suppress_is_the_greedy_loop(rows: list[tuple[int, Box, float | None]], min_iou: float) -> None:
    image, boxes, score = [r[0] for r in rows], [r[1] for r in rows], [r[2] for r in rows]
    i, j, _ = iou_pairs(np.array(image, np.int64), np.array(boxes).reshape(-1, 4), min_iou=min_iou)
    keep = suppress(i, j, np.array([np.nan if s is None else s for s in score], np.float64))
    assert keep.tolist() == naive_keep(image, boxes, score, min_iou)


def test_a_box_suppressed_by_a_suppressed_box_is_kept() -> None:
    by = suppressors(np.array([0, 1]), np.array([1, 2]), np.array([0.9, 0.8, 0.7]))
    assert by.tolist() == [-1, 0, -1]


def test_the_best_of_several_suppressors_is_named() -> None:
    by = suppressors(np.array([0, 1]), np.array([2, 2]), np.array([0.6, 0.9, 0.1]))
    assert by.tolist() == [-1, -1, 1]


def test_equal_scores_keep_the_first() -> None:
    assert suppress(np.array([0]), np.array([1]), np.array([0.5, 0.5])).tolist() == [True, False]


def test_boxes_without_area_or_with_nan_have_no_pairs() -> None:
    boxes = np.array([[1, 1, 1, 5], [1, 1, 1, 5], [np.nan, 0, 5, 5], [0, 0, 5, 5]])
    assert len(iou_pairs(np.zeros(4, np.int64), boxes, min_iou=0.01)[0]) == 0


def test_an_image_of_two_thousand_equal_boxes_keeps_one() -> None:
    boxes = np.tile(np.array([[0, 0, 9, 9]], np.float32), (2000, 1))
    i, j, iou = iou_pairs(np.zeros(2000, np.int64), boxes, min_iou=0.5)
    assert len(i) == 1999 * 1000
    assert iou.min() == 1.0
    assert suppress(i, j, np.linspace(0, 1, 2000)).nonzero()[0].tolist() == [1999]


def test_a_threshold_of_zero_is_refused() -> None:
    with pytest.raises(ConfigError, match="above 0"):
        iou_pairs(np.zeros(1, np.int64), np.zeros((1, 4)), min_iou=0)
