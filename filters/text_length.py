"""Drops texts that are too short or too long for their granularity. Length is counted in words (tokens that are not
punctuation).

A more detailed text may have any length if its sentences are short. People describe a photo in up to 500 words, but
with at most 40 words a sentence on average. A model in a loop writes on without a full stop.
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
    """Drop texts that are too short or too long, counted in tokens. A text is too short if it has fewer than
    `min_tokens`. It is too long if it has more than `max_tokens`, and also more than `per_sentence` tokens a sentence
    on average. Each bound is a number, or numbers by granularity; a granularity that is left out keeps its default.

    For example, "Cat." has one token, and a brief text needs two. With the default of 40 tokens a sentence, a
    `more_detailed` text of 20 sentences may have 800 tokens. `per_sentence: 0` makes `max_tokens` a limit for every
    text. `by_producer: {web: {min_tokens: 4, max_tokens: 25}}` sets bounds for one producer.
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
