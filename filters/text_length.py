"""Texts too short or too long for what they claim to be, in words (tokens that are no punctuation)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from engine.columns import ParsedTexts
from filters.bounds import Amounts, one_option, text_bounds
from filters.verdict import Verdict, at_least, at_most

MIN_TOKENS: Mapping[str, float] = {"brief": 2, "detailed": 5, "more_detailed": 8}
MAX_TOKENS: Mapping[str, float] = {"brief": 40, "detailed": 120, "more_detailed": 300}
BOUNDS = ("min_tokens", "max_tokens")


def text_length(
    texts: ParsedTexts,
    *,
    min_tokens: Amounts = MIN_TOKENS,
    max_tokens: Amounts = MAX_TOKENS,
    by_producer: Mapping[str, Mapping[str, Amounts]] = {},
) -> list[Verdict]:
    """Drop texts with fewer or more tokens than allowed: a number, or one a granularity (one not named keeps its
    default).

    "Cat." has one token, and a brief text must have two. `by_producer: {web: {min_tokens: 4, max_tokens: 25}}`
    holds for the texts of one producer.
    """
    own = {option: one_option(by_producer, option, BOUNDS) for option in BOUNDS}
    floor = text_bounds(
        texts, "min_tokens", min_tokens, defaults=MIN_TOKENS, otherwise=0, by_producer=own["min_tokens"]
    )
    ceiling = text_bounds(
        texts, "max_tokens", max_tokens, defaults=MAX_TOKENS, otherwise=np.inf, by_producer=own["max_tokens"]
    )
    return [at_least(texts.tokens, floor, "text_length.min"), at_most(texts.tokens, ceiling, "text_length.max")]
