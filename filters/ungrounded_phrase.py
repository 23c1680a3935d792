"""Drops phrases without regions. Use it after the rules for regions, because it counts only regions that they kept."""

from __future__ import annotations

import numpy as np

from engine.config.ranges import Count
from engine.records.columns import Phrases, Regions
from filters.verdict import Verdict


def ungrounded_phrase(phrases: Phrases, regions: Regions, *, min_regions: Count = 1) -> Verdict:
    """Drop phrases with fewer than `min_regions` kept regions. Regions that were merged into one region count once."""
    phrase, region = phrases.links
    there = regions.holds(region)
    links = np.unique(np.column_stack([phrase[there], region[there]]), axis=0) if min_regions > 1 else None
    held = np.bincount(phrase[there] if links is None else links[:, 0], minlength=len(phrases))
    return Verdict(held >= min_regions, "ungrounded_phrase", held.astype(np.float64), float(min_regions))
