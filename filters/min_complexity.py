"""Texts that say too little: how much is attached to the objects and actions of a sentence (paper section 4.2).

Complexity is a token's degree in the dependency tree: the largest of a sentence, averaged over sentences, 0 if
there is no such token. The paper prints no bounds. The mean brief text has .58 actions, so a bound on actions
there would take half of them; brief texts only need an object with something attached.
"""

from __future__ import annotations

from collections.abc import Mapping

from engine.columns import ParsedTexts
from filters.verdict import Verdict, at_least, by_word

MIN_OBJECT: Mapping[str, float] = {"brief": 1, "detailed": 2, "more_detailed": 2}
MIN_ACTION: Mapping[str, float] = {"brief": 0, "detailed": 1, "more_detailed": 1}


def min_complexity(
    texts: ParsedTexts,
    *,
    min_object: Mapping[str, float] = MIN_OBJECT,
    min_action: Mapping[str, float] = MIN_ACTION,
) -> list[Verdict]:
    """Drop texts below the object or action complexity their granularity asks for; a granularity not named keeps
    its default.
    """
    objects = texts.lookup("granularity", by_word(MIN_OBJECT, min_object), 0)
    actions = texts.lookup("granularity", by_word(MIN_ACTION, min_action), 0)
    return [
        at_least(texts.object_complexity, objects, "min_complexity.object"),
        at_least(texts.action_complexity, actions, "min_complexity.action"),
    ]
