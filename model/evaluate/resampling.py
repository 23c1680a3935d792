"""Bootstrap over images: estimates how much a figure would vary with other images.

A resample is a row of counts: how often each image was drawn. Images are drawn with replacement, as many times as there
are images. For a paired interval, measure two predictions with the same counts and subtract the figures of each
resample.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

TIMES = 1000


@lru_cache(maxsize=2)  # one evaluation draws the same resamples for every node
def resamples(images: int, times: int = TIMES, seed: int = 0) -> Ints:
    """Draws resamples: counts, times x images. Equal arguments give equal counts. The array is read-only."""
    if not images:
        return np.zeros((times, 0), np.int64)
    random = np.random.default_rng(seed)
    counts: Ints = random.multinomial(images, np.full(images, 1 / images), size=times)
    counts.setflags(write=False)
    return counts


def interval(values: Floats, level: float = 0.95) -> tuple[float, float]:
    """The percentile interval of resampled figures. Resamples without a figure (NaN) do not count."""
    known = values[np.isfinite(values)]
    if not len(known):
        return (float("nan"), float("nan"))
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    return (float(low), float(high))


def resampled_ratios(above: npt.NDArray[Any], below: npt.NDArray[Any], counts: Ints) -> Floats:
    """A ratio of two sums over images (a share, recall or mean), for each resample. `above`, `below`: the summands of
    each image in the numerator and the denominator.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        share: Floats = (counts @ above.astype(np.float64)) / (counts @ below.astype(np.float64))
    return share
