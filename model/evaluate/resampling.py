"""Bootstrap over images: how far a figure would stray had other photos been drawn.

A resample is a row of counts: how often each image was drawn, as many draws as there are images, with
replacement. All an image holds comes and goes with it. Two predictions measured with the same counts
may be subtracted resample by resample: that is the paired interval.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

TIMES = 1000


def resamples(images: int, times: int = TIMES, seed: int = 0) -> Ints:
    """times x images; the same for the same three numbers."""
    if not images:
        return np.zeros((times, 0), np.int64)
    random = np.random.default_rng(seed)
    return random.multinomial(images, np.full(images, 1 / images), size=times)


def interval(values: Floats, level: float = 0.95) -> tuple[float, float]:
    """The middle `level` of resampled figures (percentiles); resamples in which there is no figure do not count."""
    known = values[np.isfinite(values)]
    if not len(known):
        return (float("nan"), float("nan"))
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    return (float(low), float(high))


def of_totals(above: npt.NDArray[Any], below: npt.NDArray[Any], counts: Ints) -> Floats:
    """Resampled quotients of sums over images (shares, recalls, means): numerator and denominator of each image."""
    with np.errstate(invalid="ignore", divide="ignore"):
        share: Floats = (counts @ above.astype(np.float64)) / (counts @ below.astype(np.float64))
    return share
