"""Drops boxes that are too small or too large. Sides are in pixels, areas are shares of the image."""

from __future__ import annotations

from collections.abc import Mapping

from engine.config.ranges import Amount, Share
from engine.records.columns import Regions
from filters.judging.bounds import one_option, row_bounds
from filters.verdict import Verdict

BOUNDS = ("min_side", "min_share", "max_share")


def box_size(
    regions: Regions,
    *,
    min_side: Amount = 4.0,
    min_share: Share = 0.0,
    max_share: Share = 1.0,
    by_producer: Mapping[str, Mapping[str, float]] = {},
    by_label: Mapping[str, Mapping[str, float]] = {},
) -> list[Verdict]:
    """Drop boxes whose shorter side is below `min_side` pixels, or whose area is below `min_share` or above `max_share`
    of the image's area. A box that meets a bound exactly is kept.

    For example, a box of 3 x 50 pixels has a shorter side of 3 and is dropped. `by_label: {person: {max_share: 0.9}}`
    and `by_producer: {ocr: {min_side: 2}}` set bounds for some boxes; a label overrides a producer.
    """
    bounds = {
        option: row_bounds(
            regions,
            option,
            given,
            by_producer=one_option(by_producer, option, BOUNDS),
            by_label=one_option(by_label, option, BOUNDS),
        )
        for option, given in zip(BOUNDS, (min_side, min_share, max_share), strict=True)
    }
    width, height = regions.x2 - regions.x1, regions.y2 - regions.y1
    side = width.clip(max=height)
    share = width.astype("f8") * height / (regions.width.astype("f8") * regions.height)
    # A box of the whole image may exceed its edges by half a pixel (box_sanity). Its share then counts as 1.
    share = share.clip(max=1.0)
    return [
        Verdict(side >= bounds["min_side"], "box_size.side", side, bounds["min_side"]),
        Verdict(share >= bounds["min_share"], "box_size.min_share", share, bounds["min_share"]),
        Verdict(share <= bounds["max_share"], "box_size.max_share", share, bounds["max_share"]),
    ]
