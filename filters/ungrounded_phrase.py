"""Phrases that point at nothing any more. Put it behind the rules that judge regions: it sees what they left."""

from __future__ import annotations

import numpy as np

from engine.config.ranges import Count
from engine.records.columns import Phrases, Regions
from filters.verdict import Verdict


def ungrounded_phrase(phrases: Phrases, regions: Regions, *, min_regions: Count = 1) -> Verdict:
    """Drop phrases of which fewer than `min_regions` regions are still kept; a merged region counts as the one
    it was merged into, once.
    """
    phrase, region = phrases.links
    there = regions.holds(region)
    links = np.unique(np.column_stack([phrase[there], region[there]]), axis=0) if min_regions > 1 else None
    held = np.bincount(phrase[there] if links is None else links[:, 0], minlength=len(phrases))
    return Verdict(held >= min_regions, "ungrounded_phrase", held.astype(np.float64), float(min_regions))
