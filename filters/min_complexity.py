"""Drops texts with too little detail about their objects and actions (paper section 4.2).

The complexity of an object or action is the degree of its token in the dependency tree. A sentence counts by its
highest degree (0 if it has no such token), and a text by the mean over its sentences. The paper gives no bounds. The
mean brief text has .58 actions, so a bound on actions would drop half of the brief texts. They only need an object with
one word attached to it.
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
    """Drop texts whose object or action complexity is below its bound. A bound is a number, or numbers by granularity;
    a granularity that is left out keeps its default.

    For example, "Yes." has no object, so its object complexity is 0, and a brief text needs 1. `by_producer: {web:
    {min_object: 2}}` sets bounds for one producer.
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
