"""Boxes too small to see or too large to mean one thing. Sides in pixels, areas as a share of the image."""

from __future__ import annotations

from engine.columns import Regions
from filters.verdict import Verdict


def box_size(
    regions: Regions, *, min_side: float = 4.0, min_share: float = 0.0, max_share: float = 1.0
) -> list[Verdict]:
    """Drop boxes whose shorter side is below `min_side` pixels, or whose area is not within `min_share` and
    `max_share` of the image's. All bounds are inclusive.
    """
    width, height = regions.x2 - regions.x1, regions.y2 - regions.y1
    side = width.clip(max=height)
    share = width.astype("f8") * height / (regions.width.astype("f8") * regions.height)
    # A box over the whole image may reach half a pixel over its edges (box_sanity): that is a share of 1.
    share = share.clip(max=1.0)
    return [
        Verdict(side >= min_side, "box_size.side", side, min_side),
        Verdict(share >= min_share, "box_size.min_share", share, min_share),
        Verdict(share <= max_share, "box_size.max_share", share, max_share),
    ]
