"""Drops invalid boxes: boxes that are not finite, have no area or lie outside the image. In pixels of the upright
image.
"""

from __future__ import annotations

import numpy as np

from engine.config.ranges import Amount
from engine.records.columns import Regions
from filters.verdict import Verdict


def box_sanity(regions: Regions, *, slack: Amount = 0.5) -> list[Verdict]:
    """Drop boxes with a NaN or infinite edge, then boxes with x1 >= x2 or y1 >= y2, then boxes that extend beyond an
    edge of the image by more than `slack` pixels. Rounding alone can cause an excess of half a pixel.
    """
    x1, y1, x2, y2 = regions.x1, regions.y1, regions.x2, regions.y2
    with np.errstate(invalid="ignore", over="ignore"):
        finite = np.isfinite(x1 + y1 + x2 + y2)
        side = np.minimum(x2 - x1, y2 - y1)
        over = np.maximum(np.maximum(-x1, -y1), np.maximum(x2 - regions.width, y2 - regions.height))
        return [
            Verdict(finite, "box_sanity.finite"),
            Verdict(side > 0, "box_sanity.area", side, 0.0),
            Verdict(over <= slack, "box_sanity.inside", over, slack),
        ]
