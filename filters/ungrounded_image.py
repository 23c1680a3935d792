"""Images of which no words are tied to a place: GRIT drops a pair whose caption has no box left (arXiv 2306.14824).

Put it behind the rules that judge regions and phrases: it sees what they left. Everything said of a dropped image is
dropped with it, human labels included.
"""

from __future__ import annotations

import numpy as np

from engine.config.ranges import Count
from engine.records.columns import Images, Phrases, Regions
from filters.verdict import Verdict


def ungrounded_image(images: Images, phrases: Phrases, regions: Regions, *, min_phrases: Count = 1) -> Verdict:
    """Drop images with fewer than `min_phrases` kept phrases that name a kept region, whoever said them.

    A photo captioned "A cat sleeps." of whose only region, the cat, min_score dropped, has none.
    """
    phrase, region = phrases.links
    grounded = np.unique(phrase[regions.holds(region)])
    held = np.bincount(phrases.image[grounded], minlength=len(images.shard))[images.rows]
    return Verdict(held >= min_phrases, "ungrounded_image", held.astype(np.float64), float(min_phrases))
