"""Drops texts in another language, or whose language is uncertain, by the scores of a language specialist.

Texts without a score pass, unless `drop_unmeasured` is set. Short texts pass too, because language identifiers are
unreliable on them: of English phrases of three or four words they take two in five for another language.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

import numpy as np
import pyarrow.compute as pc
from pydantic import Field

from engine.config.ranges import Count
from engine.records.columns import ImageScores, Texts
from engine.records.shard import Ints
from filters.judging.bounds import Shares, text_bounds
from filters.judging.needs import needs, score
from filters.verdict import Verdict

Codes = Annotated[Sequence[Annotated[str, Field(pattern=r"^[a-z]{2,3}(-\w+)*$")]], Field(min_length=1)]  # ISO 639
FLOOR: Mapping[str, float] = {"brief": 0.3, "detailed": 0.5, "more_detailed": 0.5}


@needs(score("language", add="language: {use: language}"))
def text_language(
    texts: Texts,
    image_scores: ImageScores,
    *,
    keep: Codes = ("en",),
    floor: Shares = FLOOR,
    by_producer: Mapping[str, Shares] = {},
    min_words: Count = 5,
    drop_unmeasured: bool = False,
) -> list[Verdict]:
    """Drop texts whose language is not in `keep`, or whose language score is below the floor. `floor` is a number, or
    numbers by granularity.

    For example, "Un chat dort sur un vieux canapé." at .99 for "fr" is dropped by text_language.other. If a text has
    several scores, the highest counts, and it is the value of the verdict. `by_producer: {web: 0.8}` sets the floor of
    one producer. Texts of fewer than `min_words` words pass.
    """
    scores = image_scores.take(image_scores.equals("name", "language"))
    surest = _surest(texts, scores)
    sure = np.append(scores.value, np.nan)[surest]
    codes, words = scores.codes("code")
    wanted = np.append(np.isin(codes, [number for number, word in enumerate(words) if word in keep]), True)[surest]
    floors = text_bounds(texts, "floor", floor, defaults=FLOOR, otherwise=0, by_producer=by_producer)
    short = pc.list_value_length(pc.utf8_split_whitespace(pc.utf8_trim_whitespace(texts.text))).to_numpy() < min_words
    measured = surest >= 0
    return [
        Verdict(short | measured | (not drop_unmeasured), "text_language.unmeasured"),
        Verdict(short | wanted, "text_language.other", sure),
        Verdict(short | ~(sure < floors), "text_language.floor", np.where(short, np.nan, sure), floors),
    ]


def _surest(texts: Texts, scores: ImageScores) -> Ints:
    """For each text, the row in `scores` of its highest score; -1 if it has none."""
    text = scores.text
    order = np.argsort(scores.value, kind="stable")
    order = order[text[order] >= 0]
    found = np.full(len(texts.shard.column("texts")), -1, np.int64)
    found[text[order]] = order  # the last one written remains: the highest
    return found[texts.rows]
