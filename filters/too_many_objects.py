"""Texts that list more objects than a picture shows: web captions full of names and keywords (paper section 4.2).

A true long text names many objects too, but has words around them: of 1,209 long texts of people and machines all but
two have less than .4 objects a word, and most lists of keywords have more than .5.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from engine.records.columns import ParsedTexts
from filters.judging.bounds import Amounts, Shares, text_bounds
from filters.verdict import Verdict, at_most

MAX_OBJECTS: Mapping[str, float] = {"brief": 10, "detailed": 30, "more_detailed": 60}
MAX_SHARE = 0.4  # objects a word


def too_many_objects(
    texts: ParsedTexts,
    *,
    max_objects: Amounts = MAX_OBJECTS,
    max_share: Shares = MAX_SHARE,
    by_producer: Mapping[str, Amounts] = {},
) -> Verdict:
    """Drop texts with more objects than allowed, unless they are no more than `max_share` of its words. Each is a
    number, or one a granularity (one not named keeps its default); a share of 0 makes `max_objects` the last word.

    "Cat dog cup car bus man tree sky road sign hat." has 11 objects, and a brief text may have 10; a sentence of 30
    words may have 12. `by_producer: {web: 6}` is a `max_objects` for the texts of one producer, `{web: {brief: 6}}` for
    its brief ones.
    """
    fixed = text_bounds(
        texts, "max_objects", max_objects, defaults=MAX_OBJECTS, otherwise=np.inf, by_producer=by_producer
    )
    share = text_bounds(texts, "max_share", max_share, defaults={}, otherwise=MAX_SHARE)
    return at_most(texts.n_objects, np.fmax(fixed, np.floor(share * texts.tokens)), "too_many_objects")
