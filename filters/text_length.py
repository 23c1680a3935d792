"""Texts too short or too long for what they claim to be, in words (tokens that are no punctuation)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from engine.columns import ParsedTexts
from filters.verdict import Verdict, at_least, at_most, by_word

MIN_TOKENS: Mapping[str, float] = {"brief": 2, "detailed": 5, "more_detailed": 8}
MAX_TOKENS: Mapping[str, float] = {"brief": 40, "detailed": 120, "more_detailed": 300}


def text_length(
    texts: ParsedTexts,
    *,
    min_tokens: Mapping[str, float] = MIN_TOKENS,
    max_tokens: Mapping[str, float] = MAX_TOKENS,
) -> list[Verdict]:
    """Drop texts with fewer or more tokens than their granularity allows; a granularity not named keeps its default."""
    floor = texts.lookup("granularity", by_word(MIN_TOKENS, min_tokens), 0)
    ceiling = texts.lookup("granularity", by_word(MAX_TOKENS, max_tokens), np.inf)
    return [
        at_least(texts.tokens, floor, "text_length.min"),
        at_most(texts.tokens, ceiling, "text_length.max"),
    ]
