"""Drops small images. All annotations of a dropped image are dropped with it, human labels included."""

from __future__ import annotations

import numpy as np

from engine.config.ranges import Count
from engine.records.columns import Images
from filters.verdict import Verdict


def min_side(images: Images, *, pixels: Count = 64) -> Verdict:
    """Drop images whose shorter side is below `pixels`."""
    side = np.minimum(images.numbers("width"), images.numbers("height"))
    return Verdict(side >= pixels, "min_side", side, pixels)
