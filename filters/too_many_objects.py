"""Texts that list more objects than a picture shows: web captions full of names and keywords (paper section 4.2)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from engine.columns import ParsedTexts
from filters.verdict import Verdict, at_most, by_word

MAX_OBJECTS: Mapping[str, float] = {"brief": 10, "detailed": 30, "more_detailed": 60}


def too_many_objects(texts: ParsedTexts, *, max_objects: Mapping[str, float] = MAX_OBJECTS) -> Verdict:
    """Drop texts with more objects than their granularity allows; a granularity not named keeps its default."""
    ceiling = texts.lookup("granularity", by_word(MAX_OBJECTS, max_objects), np.inf)
    return at_most(texts.n_objects, ceiling, "too_many_objects")
