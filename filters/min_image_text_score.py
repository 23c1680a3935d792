"""Drops texts that match their image badly, by the scores of image_text_scorer or label_similarity."""

from __future__ import annotations

from collections.abc import Mapping

from engine.records.columns import ImageScores, Texts
from filters.judging.bounds import text_bounds
from filters.judging.needs import needs
from filters.judging.similarity import Cosines, matches, scored, verdicts
from filters.verdict import Verdict

FLOOR = 0.0  # drops only texts with a negative cosine, which is a bad match for any model


@needs(scored)
def min_image_text_score(
    texts: Texts,
    image_scores: ImageScores,
    *,
    floor: Cosines = FLOOR,
    by_producer: Mapping[str, Cosines] = {},
    scorer: str = "",
    drop_unmeasured: bool = False,
) -> list[Verdict]:
    """Drop texts whose similarity to their image is below the floor. `floor` is a cosine, or cosines by granularity.

    The default drops only texts below 0. Each model has its own scale, so `floor: {quantile: 0.1}` is the easiest
    start: it drops the worst tenth of the data set. `by_producer: {web: 0.2}` sets the floor of the texts of one
    producer. `scorer`: the node whose scores are read; needed if several nodes give them. Human texts pass and do not
    count for quantiles. Texts without a score pass too, unless `drop_unmeasured` is set.
    """
    floors = text_bounds(texts, "floor", floor, defaults={}, otherwise=FLOOR, by_producer=by_producer)
    value = matches(texts, image_scores, scorer)
    return verdicts("min_image_text_score", texts, value, floors, drop_unmeasured=drop_unmeasured)
