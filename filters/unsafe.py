"""Drops images that a safety model scores as unsafe. Images without a score pass, unless `drop_unmeasured` is set.

All annotations of a dropped image are dropped with it, human labels included.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from engine.config.ranges import Share
from engine.records.columns import Images, ImageScores
from filters.judging.bounds import row_bounds
from filters.judging.needs import needs, score
from filters.verdict import Verdict


@needs(score("unsafe", add="nsfw: {use: nsfw}"))
def unsafe(
    images: Images,
    image_scores: ImageScores,
    *,
    ceiling: Share = 0.5,
    by_producer: Mapping[str, Share] = {},
    drop_unmeasured: bool = False,
) -> list[Verdict]:
    """Drop images with a score named "unsafe" above the ceiling. If several models give such scores, one score above
    its ceiling is enough.

    For example, an image at .93 is above the default ceiling of .5. `by_producer` ({nsfw: 0.8}) sets the ceiling of
    some producers. The value in the verdict is the highest of the scores above their ceiling. If there is none, it is
    the highest score.
    """
    scores = image_scores.take(image_scores.equals("name", "unsafe") & ~np.isnan(image_scores.value))
    ceilings = row_bounds(scores, "ceiling", ceiling, by_producer=by_producer)
    worst = np.full(len(images.shard), -1, np.int64)
    order = np.lexsort((scores.value, scores.value > ceilings))
    worst[scores.image[order]] = order  # the last one written remains
    worst = worst[images.rows]
    value, limit = (np.append(numbers, np.nan)[worst] for numbers in (scores.value, ceilings))
    return [
        Verdict((worst >= 0) | (not drop_unmeasured), "unsafe.unmeasured"),
        Verdict(~(value > limit), "unsafe", value, limit),
    ]
