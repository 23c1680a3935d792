"""Texts that say too little: how much is attached to the objects and actions of a sentence (paper section 4.2).

Complexity is a token's degree in the dependency tree: the largest of a sentence, averaged over sentences, 0 if
there is no such token. The paper prints no bounds. The mean brief text has .58 actions, so a bound on actions
there would take half of them; brief texts only need an object with something attached.
"""

from __future__ import annotations

from collections.abc import Mapping

from engine.records.columns import ParsedTexts
from filters.judging.bounds import Amounts, one_option, text_bounds
from filters.verdict import Verdict, at_least

MIN_OBJECT: Mapping[str, float] = {"brief": 1, "detailed": 2, "more_detailed": 2}
MIN_ACTION: Mapping[str, float] = {"brief": 0, "detailed": 1, "more_detailed": 1}
BOUNDS = ("min_object", "min_action")


def min_complexity(
    texts: ParsedTexts,
    *,
    min_object: Amounts = MIN_OBJECT,
    min_action: Amounts = MIN_ACTION,
    by_producer: Mapping[str, Mapping[str, Amounts]] = {},
) -> list[Verdict]:
    """Drop texts below the object or action complexity asked for: a number, or one a granularity (one not named
    keeps its default).

    "Yes." has no object, so its object complexity is 0, and a brief text must have 1.
    `by_producer: {web: {min_object: 2}}` holds for the texts of one producer.
    """
    own = {option: one_option(by_producer, option, BOUNDS) for option in BOUNDS}
    objects = text_bounds(
        texts, "min_object", min_object, defaults=MIN_OBJECT, otherwise=0, by_producer=own["min_object"]
    )
    actions = text_bounds(
        texts, "min_action", min_action, defaults=MIN_ACTION, otherwise=0, by_producer=own["min_action"]
    )
    return [
        at_least(texts.object_complexity, objects, "min_complexity.object"),
        at_least(texts.action_complexity, actions, "min_complexity.action"),
    ]
