"""Drops tags that match their image badly, by the scores of image_text_scorer."""

from __future__ import annotations

from collections.abc import Mapping

from engine.records.columns import ImageScores, Tags
from filters.judging.bounds import row_bounds
from filters.judging.needs import needs
from filters.judging.similarity import Cosine, matches, scored, verdicts
from filters.verdict import Verdict


@needs(scored)
def min_image_tag_score(
    tags: Tags,
    image_scores: ImageScores,
    *,
    floor: Cosine = 0.0,
    by_producer: Mapping[str, Cosine] = {},
    by_label: Mapping[str, Cosine] = {},
    scorer: str = "",
    drop_unmeasured: bool = False,
) -> list[Verdict]:
    """Drop tags whose similarity to their image is below the floor, a cosine.

    For example, the tag "marimba" has a cosine of .03 with the photo of a table and is dropped by a floor of .1.
    `floor: {quantile: 0.1}` drops the worst tenth of the data set. `by_label` ({marimba: 0.2}) and `by_producer`
    ({tags: 0.1}) set the floor of some tags; a label overrides a producer. `scorer`: the node whose scores are read;
    needed if several nodes give them. Human tags pass. Tags without a score pass too, unless `drop_unmeasured` is set.
    """
    floors = row_bounds(tags, "floor", floor, by_producer=by_producer, by_label=by_label)
    value = matches(tags, image_scores, scorer)
    return verdicts("min_image_tag_score", tags, value, floors, drop_unmeasured=drop_unmeasured)
