"""Drops texts that match their image badly, by the scores of image_text_scorer or label_similarity."""

from __future__ import annotations

from collections.abc import Mapping

from engine.records.columns import ImageScores, Texts
from filters.judging.bounds import text_bounds
from filters.judging.needs import needs
from filters.judging.similarity import Cosines, matches, scored, verdicts
from filters.verdict import Verdict

FLOOR = 0.0  # texts that point away from their image, whatever the model


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
    """Drop texts whose similarity to their image is below the floor: a cosine, or cosines by granularity.

    The default drops only texts below 0. Each model has its own scale, so `floor: {quantile: 0.1}`, which drops the
    worst tenth of the data set, is the easiest start. `by_producer: {web: 0.2}` sets the floor of the texts of one
    producer. `scorer`: the node whose scores are read, if several give them. Human texts pass and do not count for
    quantiles; texts without a score pass, unless `drop_unmeasured`.
    """
    floors = text_bounds(texts, "floor", floor, defaults={}, otherwise=FLOOR, by_producer=by_producer)
    value = matches(texts, image_scores, scorer)
    return verdicts("min_image_text_score", texts, value, floors, drop_unmeasured=drop_unmeasured)
