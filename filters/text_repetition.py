"""Drops texts that repeat themselves, as the output of a model in a loop does.

Follows the repetition rules of Gopher (Rae et al. 2021, appendix A.1.1), but counts words instead of characters. In a
short text every pair of words is a large share: in ten words any pair is a fifth. So a pair or triple counts only if it
occurs at least three times, and an occurrence counts only if a neighbouring word is repeated with it. "At the top left,
at the top right and at the top" is therefore not a loop.

A word is a run of letters and digits. Text in a script without spaces is one long word and passes. Templates repeat
themselves by design, so give a producer that uses templates its own bounds.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from engine.records.columns import Texts
from engine.records.shard import Floats
from filters.judging import ngrams as repeats
from filters.judging.bounds import Shares, one_option, text_bounds
from filters.verdict import Verdict, at_most

MAX_TOP_2GRAM: Mapping[str, float] = {"brief": 0.25, "detailed": 0.25, "more_detailed": 0.2}
MAX_TOP_3GRAM: Mapping[str, float] = {"brief": 0.25, "detailed": 0.25, "more_detailed": 0.18}
MAX_DUPLICATE_5GRAMS: Mapping[str, float] = {"brief": 0.3, "detailed": 0.25, "more_detailed": 0.2}
MAX_DUPLICATE_SENTENCES: Mapping[str, float] = {"brief": 0.2, "detailed": 0.2, "more_detailed": 0.2}
DEFAULTS = {
    "top_2gram": MAX_TOP_2GRAM,
    "top_3gram": MAX_TOP_3GRAM,
    "duplicate_5grams": MAX_DUPLICATE_5GRAMS,
    "duplicate_sentences": MAX_DUPLICATE_SENTENCES,
}
BLOCK = 4096  # texts processed together: the words of 100,000 long texts would take gigabytes


def text_repetition(
    texts: Texts,
    *,
    top_2gram: Shares = MAX_TOP_2GRAM,
    top_3gram: Shares = MAX_TOP_3GRAM,
    duplicate_5grams: Shares = MAX_DUPLICATE_5GRAMS,
    duplicate_sentences: Shares = MAX_DUPLICATE_SENTENCES,
    by_producer: Mapping[str, Mapping[str, Shares]] = {},
) -> list[Verdict]:
    """Drop texts in which one of four shares is too large. Each limit is a number, or numbers by granularity; a
    granularity that is left out keeps its default.

    `top_2gram` and `top_3gram`: the share of words covered by one pair or triple that occurs at least three times.
    `duplicate_5grams`: the share of words in runs of five that occurred before. `duplicate_sentences`: the share of
    sentences that occurred before. For example, the pair "on a" covers more than half of "A cat on a mat on a mat on a
    mat.", which is dropped by text_repetition.top_2gram. `by_producer: {captioner: {top_2gram: 0.3}}` sets limits for
    one producer.
    """
    given = (top_2gram, top_3gram, duplicate_5grams, duplicate_sentences)
    verdicts = []
    for (option, defaults), bound, shares in zip(DEFAULTS.items(), given, repetition(texts), strict=True):
        own = one_option(by_producer, option, tuple(DEFAULTS))
        ceiling = text_bounds(texts, option, bound, defaults=defaults, otherwise=np.inf, by_producer=own)
        verdicts.append(at_most(shares, ceiling, f"text_repetition.{option}"))
    return verdicts


def repetition(texts: Texts) -> tuple[Floats, Floats, Floats, Floats]:
    """The four shares, in the order of the options. Each array has one entry for each text."""
    shares = np.zeros((4, len(texts)))
    column = texts.text
    for start in range(0, len(column), BLOCK):
        block, here = column.slice(start, BLOCK), slice(start, start + BLOCK)
        words = repeats.word_codes(block)
        repeated = repeats.repeated_ngrams(words, 5)
        shares[0, here] = repeats.top_ngram(words, repeated[2], repeated[3])
        shares[1, here] = repeats.top_ngram(words, repeated[3], repeated[4])
        shares[2, here] = repeats.duplicate_ngrams(words, repeated[5])
        shares[3, here] = repeats.duplicate_sentences(repeats.sentence_codes(block))
    return shares[0], shares[1], shares[2], shares[3]
