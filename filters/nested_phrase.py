"""Drops phrases inside another phrase of the same text, which occur when two grounders are used. GRIT also keeps only
the longer phrase (arXiv 2306.14824).

Use it after the other rules for phrases, because it compares only phrases that earlier rules kept.
"""

from __future__ import annotations

import numpy as np

from engine.records.columns import Phrases
from engine.records.shard import Bools
from filters.verdict import Verdict


def nested_phrase(phrases: Phrases) -> Verdict:
    """Drop phrases whose words are part of a longer phrase, such as "street" in "a street with cars". If two phrases
    cover the same words, the second is dropped. The value is 1 for a phrase inside another phrase, else 0; the
    threshold is 0.
    """
    start, end = phrases.numbers("char_start").astype(np.int64), phrases.numbers("char_end").astype(np.int64)
    order = np.lexsort((-end, start, phrases.text))
    # Ends are offsets in all texts joined together, so the furthest end so far cannot come from an earlier text.
    length = int(end.max(initial=0)) + 1
    behind = phrases.text[order] * length + end[order]
    furthest = np.maximum.accumulate(np.append(np.int64(-(2**62)), behind))[:-1]
    nested: Bools = np.zeros(len(phrases), np.bool_)
    nested[order] = (behind <= furthest) & (phrases.text[order] >= 0)
    return Verdict(~nested, "nested_phrase", nested.astype(np.float64), 0.0)
