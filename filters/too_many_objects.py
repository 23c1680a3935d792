"""Texts that list more objects than a picture shows: web captions full of names and keywords (paper section 4.2)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from engine.columns import ParsedTexts
from filters.bounds import Amounts, text_bounds
from filters.verdict import Verdict, at_most

MAX_OBJECTS: Mapping[str, float] = {"brief": 10, "detailed": 30, "more_detailed": 60}


def too_many_objects(
    texts: ParsedTexts, *, max_objects: Amounts = MAX_OBJECTS, by_producer: Mapping[str, Amounts] = {}
) -> Verdict:
    """Drop texts with more objects than allowed: a number, or one a granularity (one not named keeps its default).

    "Cat dog cup car bus man tree sky road sign hat." has 11 objects, and a brief text may have 10.
    `by_producer: {web: 6}` holds for the texts of one producer, `{web: {brief: 6}}` for its brief ones.
    """
    ceiling = text_bounds(
        texts, "max_objects", max_objects, defaults=MAX_OBJECTS, otherwise=np.inf, by_producer=by_producer
    )
    return at_most(texts.n_objects, ceiling, "too_many_objects")
