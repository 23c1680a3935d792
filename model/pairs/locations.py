"""Pixels to the 1,000 locations of an axis, and back to the middle of a location.

x is divided by the width and y by the height of the original upright image; what lies on its right or lower border
(x = width) or beyond is in the last location.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

BINS = 1000
LOCATIONS = tuple(f"<loc_{bin_}>" for bin_ in range(BINS))


def to_bins(values: npt.ArrayLike, side: float) -> npt.NDArray[np.int64]:
    """Pixels along an axis of `side` pixels, of any shape, as 0 to 999."""
    # Divided by the size of a bin, as the model's own processor does: x * 1000 / side falls elsewhere at some borders.
    bins = np.floor(np.asarray(values, np.float64) / (side / BINS))
    return np.clip(bins, 0, BINS - 1).astype(np.int64)


def location_tokens(points: Sequence[float] | npt.NDArray[np.floating], width: float, height: float) -> str:
    """x, y, x, y, ... in pixels as the locations of a target."""
    if len(points) <= 8:  # NumPy takes longer to start than a box takes
        sides = (width / BINS, height / BINS)
        bins_ = [math.floor(value / sides[number & 1]) for number, value in enumerate(points)]
        return "".join([LOCATIONS[0 if bin_ < 0 else bin_ if bin_ < BINS else BINS - 1] for bin_ in bins_])
    pairs = np.asarray(points, np.float64).reshape(-1, 2)
    bins = np.stack([to_bins(pairs[:, 0], width), to_bins(pairs[:, 1], height)], axis=1)
    return "".join([LOCATIONS[bin_] for bin_ in bins.reshape(-1).tolist()])
