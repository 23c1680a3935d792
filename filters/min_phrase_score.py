"""Drops phrases to which their grounder gave a low score.

The paper (section 4.2) has one threshold for the score of the phrase and one for the score of the box. This rule is the
first. For the second, use `min_score` for regions, followed by `ungrounded_phrase`.
"""

from __future__ import annotations

from collections.abc import Mapping

from engine.records.columns import Phrases
from filters.judging.bounds import Shares, text_bounds
from filters.verdict import Verdict

FLOOR = 0.25  # customary for the text threshold of Grounding DINO


def min_phrase_score(phrases: Phrases, *, floor: Shares = FLOOR, by_producer: Mapping[str, Shares] = {}) -> Verdict:
    """Drop phrases with a score below the floor. `floor` is a number, or numbers by the granularity of the phrase's
    text.

    For example, "a red kite" at .2 is below the default floor of .25. `by_producer: {dino: 0.35}` sets the floor of one
    producer. Human phrases have no score and pass.
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
