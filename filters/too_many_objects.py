"""Drops texts that list too many objects, such as web captions full of names and keywords (paper section 4.2).

A good long text names many objects too, but has other words between them. Of 1,209 long texts by people and models all
but two have less than .4 objects a word. Most lists of keywords have more than .5.
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
    """Drop texts with more than `max_objects` objects, if the objects are also more than `max_share` of the words. Each
    limit is a number, or numbers by granularity; a granularity that is left out keeps its default. With `max_share: 0`
    only `max_objects` counts.

    For example, "Cat dog cup car bus man tree sky road sign hat." has 11 objects, but a brief text may have only 10. In
    a sentence of 30 words it may have 12. `by_producer: {web: 6}` sets `max_objects` for one producer, and `{web:
    {brief: 6}}` only for that producer's brief texts.
    """
    fixed = text_bounds(
        texts, "max_objects", max_objects, defaults=MAX_OBJECTS, otherwise=np.inf, by_producer=by_producer
    )
    share = text_bounds(texts, "max_share", max_share, defaults={}, otherwise=MAX_SHARE)
    return at_most(texts.n_objects, np.fmax(fixed, np.floor(share * texts.tokens)), "too_many_objects")
