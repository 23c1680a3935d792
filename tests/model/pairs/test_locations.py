from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.pairs.locations import BINS, location_tokens, to_bins
from model.pairs.parsing import parse_target

sides = st.integers(1, 20_000)


def from_bins(bins: Sequence[int], side: int) -> npt.NDArray[np.float64]:
    """The pixels that the parser reads bins of one axis as."""
    boxes = "".join(f"<loc_{bin_}><loc_0>" * 2 for bin_ in bins)
    parsed = parse_target("<REGION_PROPOSAL>", boxes, width=side, height=side)
    return np.array([found.box[0] for found in parsed.regions if found.box])


def test_the_right_border_is_in_the_last_bin() -> None:
    assert to_bins([0.0, 639.9, 640.0], 640).tolist() == [0, 999, 999]


def test_a_point_outside_is_in_the_nearest_bin() -> None:
    assert to_bins([-3.0, 1e9], 640).tolist() == [0, 999]


def test_a_bin_is_read_as_its_centre() -> None:
    assert from_bins([0, 999], 1000).tolist() == [0.5, 999.5]


def test_bins_keep_the_shape_they_are_given() -> None:
    assert to_bins([[0, 320], [640, 100]], 640).shape == (2, 2)


@given(st.lists(st.integers(0, BINS - 1)), sides)
def test_the_centre_of_a_bin_is_in_it(bins: list[int], side: int) -> None:
    assert to_bins(from_bins(bins, side), side).tolist() == bins


@given(sides, st.lists(st.floats(0, 1), max_size=20))
def test_a_pixel_is_read_back_within_half_a_bin(side: int, shares: list[float]) -> None:
    pixels = np.array(shares) * side
    assert np.all(np.abs(from_bins(to_bins(pixels, side).tolist(), side) - pixels) <= side / (2 * BINS) + 1e-6)


@given(sides, sides, st.lists(st.tuples(st.floats(-10, 30_000), st.floats(-10, 30_000)), max_size=9))
def test_few_points_are_written_like_many(width: int, height: int, points: list[tuple[float, float]]) -> None:
    """They take different code paths."""
    flat = [value for point in points for value in point]
    bins = [int(to_bins(value, (width, height)[number % 2])) for number, value in enumerate(flat)]
    assert location_tokens(flat, width, height) == "".join(f"<loc_{bin_}>" for bin_ in bins)
    assert location_tokens(flat * 5, width, height) == location_tokens(flat, width, height) * 5


def test_a_coordinate_that_is_no_number_is_refused() -> None:
    with pytest.raises(ValueError, match="NaN"):
        location_tokens([float("nan"), 1.0], 10, 10)
