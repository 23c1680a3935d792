"""Drops texts of regions that match the crop of their region badly, by the scores of image_text_scorer."""

from __future__ import annotations

from collections.abc import Mapping

from engine.records.columns import ImageScores, RegionTexts
from filters.judging.bounds import row_bounds
from filters.judging.needs import needs
from filters.judging.similarity import Cosine, matches, scored, verdicts
from filters.verdict import Verdict


@needs(scored)
def min_region_text_score(
    region_texts: RegionTexts,
    image_scores: ImageScores,
    *,
    floor: Cosine = 0.0,
    by_producer: Mapping[str, Cosine] = {},
    scorer: str = "",
    drop_unmeasured: bool = False,
) -> list[Verdict]:
    """Drop texts of regions whose similarity to the crop of their region is below the floor, a cosine.

    "a red kite" on the box of a dog, at .02, is below a floor of .1. `floor: {quantile: 0.1}` drops the worst tenth of
    the data set. `by_producer: {captioner: 0.2}` sets the floor of the texts of one producer. `scorer`: the node whose
    scores are read, if several give them. Human texts pass; so do texts without a score (such as printed text), unless
    `drop_unmeasured`.
    """
    floors = row_bounds(region_texts, "floor", floor, by_producer=by_producer)
    value = matches(region_texts, image_scores, scorer)
    return verdicts("min_region_text_score", region_texts, value, floors, drop_unmeasured=drop_unmeasured)
