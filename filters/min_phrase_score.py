"""Drops phrases with a low score of their grounder.

The paper (section 4.2) has a threshold for the phrase's score and one for the box's. This rule is the first;
`min_score` for regions, followed by `ungrounded_phrase`, is the second.
"""

from __future__ import annotations

from collections.abc import Mapping

from engine.records.columns import Phrases
from filters.judging.bounds import Shares, text_bounds
from filters.verdict import Verdict

FLOOR = 0.25  # customary for the text threshold of Grounding DINO


def min_phrase_score(phrases: Phrases, *, floor: Shares = FLOOR, by_producer: Mapping[str, Shares] = {}) -> Verdict:
    """Drop phrases with a score below the floor: a number, or numbers by the granularity of the phrase's text.

    "a red kite" at .2 is below the floor of .25. `by_producer: {dino: 0.35}` sets the floor of one producer. Human
    phrases have no score and pass.
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
