"""Phrases inside another phrase of their text, as two grounders make them: GRIT keeps the longer (arXiv 2306.14824).
Put it behind the rules that judge phrases: it compares with what they left.
"""

from __future__ import annotations

import numpy as np

from engine.records.columns import Phrases
from engine.records.shard import Bools
from filters.verdict import Verdict


def nested_phrase(phrases: Phrases) -> Verdict:
    """Drop phrases whose words lie in another's, of two over the same words the second: "street" in "a street with
    cars". The value is 1 for a phrase inside another, 0 for others; the threshold is 0.
    """
    start, end = phrases.numbers("char_start").astype(np.int64), phrases.numbers("char_end").astype(np.int64)
    order = np.lexsort((-end, start, phrases.text))
    # Ends counted from the start of one long text of all texts: the furthest so far is then of this text.
    length = int(end.max(initial=0)) + 1
    behind = phrases.text[order] * length + end[order]
    furthest = np.maximum.accumulate(np.append(np.int64(-(2**62)), behind))[:-1]
    nested: Bools = np.zeros(len(phrases), np.bool_)
    nested[order] = (behind <= furthest) & (phrases.text[order] >= 0)
    return Verdict(~nested, "nested_phrase", nested.astype(np.float64), 0.0)
