"""Phrases their grounder was unsure of. The paper sets a threshold on the phrase's score and on the box's (section
4.2): this is the first; `min_score` on regions and `ungrounded_phrase` behind it are the second.
"""

from __future__ import annotations

from collections.abc import Mapping

from engine.records.columns import Phrases
from filters.judging.bounds import Shares, text_bounds
from filters.verdict import Verdict

FLOOR = 0.25  # customary for the text threshold of Grounding DINO


def min_phrase_score(phrases: Phrases, *, floor: Shares = FLOOR, by_producer: Mapping[str, Shares] = {}) -> Verdict:
    """Drop phrases with a score below the floor: a number, or one a granularity of the text they are part of.

    "a red kite" at .2 is below the floor of .25. `by_producer: {dino: 0.35}` holds for the phrases of one producer.
    Human phrases carry no score and pass.
    """
    floors = text_bounds(
        phrases,
        "floor",
        floor,
        defaults={},
        otherwise=FLOOR,
        by_producer=by_producer,
    )
    return Verdict(~(phrases.score < floors), "min_phrase_score", phrases.score, floors)
