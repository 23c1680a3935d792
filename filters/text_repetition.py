"""Texts that go round in circles, as models do when they lose the thread.

After the repetition rules of Gopher (Rae et al. 2021, appendix A.1.1), counted in words, not characters; a pair or
triple of words only from its third time on, and only where a word beside it is repeated with it: in ten words any two
are a fifth of the text, and "at the top left, at the top right and at the top" is no loop.
A word is a run of letters and digits, so a script without spaces makes one long word and passes. Templates repeat
themselves by nature: give such a producer its own bounds.
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
BLOCK = 4096  # texts looked at together: 100,000 long ones are gigabytes of words


def text_repetition(
    texts: Texts,
    *,
    top_2gram: Shares = MAX_TOP_2GRAM,
    top_3gram: Shares = MAX_TOP_3GRAM,
    duplicate_5grams: Shares = MAX_DUPLICATE_5GRAMS,
    duplicate_sentences: Shares = MAX_DUPLICATE_SENTENCES,
    by_producer: Mapping[str, Mapping[str, Shares]] = {},
) -> list[Verdict]:
    """Drop texts of which more than a share is one pair of words that comes three times or more, one triple that
    does, or runs of five words that came before; or of whose sentences more than a share came before. Each share is
    a number, or one a granularity (one not named keeps its default).

    "A cat on a mat on a mat on a mat." is for more than half of it "on a": text_repetition.top_2gram.
    `by_producer: {captioner: {top_2gram: 0.3}}` holds for the texts of one producer.
    """
    given = (top_2gram, top_3gram, duplicate_5grams, duplicate_sentences)
    verdicts = []
    for (option, defaults), bound, shares in zip(DEFAULTS.items(), given, repetition(texts), strict=True):
        own = one_option(by_producer, option, tuple(DEFAULTS))
        ceiling = text_bounds(texts, option, bound, defaults=defaults, otherwise=np.inf, by_producer=own)
        verdicts.append(at_most(shares, ceiling, f"text_repetition.{option}"))
    return verdicts


def repetition(texts: Texts) -> tuple[Floats, Floats, Floats, Floats]:
    """The shares that are compared, one row a text, in the order of the options."""
    shares = np.zeros((4, len(texts)))
    said = texts.text
    for start in range(0, len(said), BLOCK):
        block, here = said.slice(start, BLOCK), slice(start, start + BLOCK)
        words = repeats.word_codes(block)
        repeated = repeats.repeated_ngrams(words, 5)
        shares[0, here] = repeats.top_ngram(words, repeated[2], repeated[3])
        shares[1, here] = repeats.top_ngram(words, repeated[3], repeated[4])
        shares[2, here] = repeats.duplicate_ngrams(words, repeated[5])
        shares[3, here] = repeats.duplicate_sentences(repeats.sentence_codes(block))
    return shares[0], shares[1], shares[2], shares[3]
