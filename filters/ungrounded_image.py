"""Drops images without a grounded phrase. GRIT also drops an image whose caption has no box left (arXiv 2306.14824).

Use it after the rules for regions and phrases, because it counts only what they kept. All annotations of a dropped
image are dropped with it, human labels included.
"""

from __future__ import annotations

import numpy as np

from engine.config.ranges import Count
from engine.records.columns import Images, Phrases, Regions
from filters.verdict import Verdict


def ungrounded_image(images: Images, phrases: Phrases, regions: Regions, *, min_phrases: Count = 1) -> Verdict:
    """Drop images in which fewer than `min_phrases` kept phrases refer to a kept region. Phrases of all producers
    count.

    For example, a photo with the caption "A cat sleeps." has no such phrase if min_score dropped its only region, the
    cat.
    """
    phrase, region = phrases.links
    grounded = np.unique(phrase[regions.holds(region)])
    held = np.bincount(phrases.image[grounded], minlength=len(images.shard))[images.rows]
    return Verdict(held >= min_phrases, "ungrounded_image", held.astype(np.float64), float(min_phrases))
