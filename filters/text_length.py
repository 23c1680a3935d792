"""Texts too short or too long for what they claim to be, in words (tokens that are no punctuation).

The longest kind has no end as long as it is made of sentences: people describe a photo in 500 words, at most 40 a
sentence on average, where a model that has lost the thread writes without a full stop.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from engine.records.columns import ParsedTexts
from filters.judging.bounds import Amounts, one_option, text_bounds
from filters.verdict import Verdict, at_least, at_most

MIN_TOKENS: Mapping[str, float] = {"brief": 2, "detailed": 5, "more_detailed": 8}
MAX_TOKENS: Mapping[str, float] = {"brief": 40, "detailed": 120, "more_detailed": 300}
PER_SENTENCE: Mapping[str, float] = {"brief": 0, "detailed": 0, "more_detailed": 40}
BOUNDS = ("min_tokens", "max_tokens", "per_sentence")


def text_length(
    texts: ParsedTexts,
    *,
    min_tokens: Amounts = MIN_TOKENS,
    max_tokens: Amounts = MAX_TOKENS,
    per_sentence: Amounts = PER_SENTENCE,
    by_producer: Mapping[str, Mapping[str, Amounts]] = {},
) -> list[Verdict]:
    """Drop texts with fewer tokens than `min_tokens`, or with more than both `max_tokens` and `per_sentence` times
    their sentences: a number each, or one a granularity (one not named keeps its default).

    "Cat." has one token, and a brief text must have two. A `more_detailed` text of 20 sentences may have 800; with
    `per_sentence: 0` no text may have more than `max_tokens`. `by_producer: {web: {min_tokens: 4, max_tokens: 25}}`
    holds for the texts of one producer.
    """
    own = {option: one_option(by_producer, option, BOUNDS) for option in BOUNDS}
    floor = text_bounds(
        texts, "min_tokens", min_tokens, defaults=MIN_TOKENS, otherwise=0, by_producer=own["min_tokens"]
    )
    ceiling = text_bounds(
        texts, "max_tokens", max_tokens, defaults=MAX_TOKENS, otherwise=np.inf, by_producer=own["max_tokens"]
    )
    each = text_bounds(
        texts, "per_sentence", per_sentence, defaults=PER_SENTENCE, otherwise=0, by_producer=own["per_sentence"]
    )
    ceiling = np.fmax(ceiling, each * texts.sentences)
    return [at_least(texts.tokens, floor, "text_length.min"), at_most(texts.tokens, ceiling, "text_length.max")]
