"""Drops region texts that match the crop of their region badly, by the scores of image_text_scorer."""

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
    """Drop region texts whose similarity to the crop of their region is below the floor, a cosine.

    For example, the text "a red kite" on the box of a dog has a cosine of .02 and is dropped by a floor of .1. `floor:
    {quantile: 0.1}` drops the worst tenth of the data set. `by_producer: {captioner: 0.2}` sets the floor of the texts
    of one producer. `scorer`: the node whose scores are read; needed if several nodes give them. Human texts pass.
    Texts without a score, such as printed text, pass too, unless `drop_unmeasured` is set.
    """
    floors = row_bounds(region_texts, "floor", floor, by_producer=by_producer)
    value = matches(region_texts, image_scores, scorer)
    return verdicts("min_region_text_score", region_texts, value, floors, drop_unmeasured=drop_unmeasured)
