"""Converts pixels to locations: each axis of an image is divided into 1,000 bins of equal size.

x is divided by the width and y by the height of the upright image. A point on or beyond the right or lower border is in
the last bin, and a point with a negative coordinate in the first.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

BINS = 1000
LOCATIONS = tuple(f"<loc_{bin_}>" for bin_ in range(BINS))


def to_bins(values: npt.ArrayLike, side: float) -> npt.NDArray[np.int64]:
    """The bins, 0 to 999, of coordinates in pixels. `side`: length of the axis in pixels. `values` may have any
    shape.
    """
    # Divided by the bin size, as the model's own processor does: x * 1000 / side rounds differently at some borders.
    bins = np.floor(np.asarray(values, np.float64) / (side / BINS))
    return np.clip(bins, 0, BINS - 1).astype(np.int64)


def location_tokens(points: Sequence[float] | npt.NDArray[np.floating], width: float, height: float) -> str:
    """Writes points in pixels (x, y, x, y, ...) as location tokens."""
    if len(points) <= 8:  # NumPy's overhead is larger than the work for a box
        sides = (width / BINS, height / BINS)
        bins_ = [math.floor(value / sides[number & 1]) for number, value in enumerate(points)]
        return "".join([LOCATIONS[0 if bin_ < 0 else bin_ if bin_ < BINS else BINS - 1] for bin_ in bins_])
    pairs = np.asarray(points, np.float64).reshape(-1, 2)
    bins = np.stack([to_bins(pairs[:, 0], width), to_bins(pairs[:, 1], height)], axis=1)
    return "".join([LOCATIONS[bin_] for bin_ in bins.reshape(-1).tolist()])
