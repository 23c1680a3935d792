"""Reads the image scores `image_text`, which measure how well texts and tags match their pixels. Three rules use it.

The value of such a score is a cosine, and its first parent is the annotation that was compared. Texts and tags are
compared with the image, region texts with the crop of their region. Cosines of two models are not on one scale: a floor
that suits one model may drop all or none of the annotations scored by another.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from engine.records.columns import ImageScores, View
from engine.records.shard import Floats
from filters.judging.needs import Given
from filters.verdict import Verdict

NAME = "image_text"
Cosine = Annotated[float, Field(ge=-1, le=1)]
Cosines = Cosine | Mapping[str, Cosine]


def scored(given: Given, options: Mapping[str, Any]) -> str:
    """The requirement of rules that read `image_text` scores (see filters/judging/needs.py): a node that gives these
    scores. If several nodes give them, the option `scorer` must name one. Returns what is missing, or ''.
    """
    scorer, nodes = options["scorer"], given.scores.get(NAME, ())
    known = (*nodes, *given.other_scores)
    if not known:
        return f"reads the score '{NAME}', which no node gives: add 'match: {{use: image_text_scorer, checkpoint: ..}}'"
    if scorer and scorer not in known:
        return f"reads the score '{NAME}' of '{scorer}', but {' and '.join(known)} gives it: add that node"
    if not scorer and len(nodes) > 1:
        return (
            f"reads the score '{NAME}', which {' and '.join(nodes)} give on scales of their own: set its option "
            "`scorer` to one of these nodes"
        )
    return ""


def matches(rows: View, scores: ImageScores, scorer: str) -> Floats:
    """The lowest `image_text` score of each row. NaN for rows without a score and for human annotations, which no rule
    drops. `scorer`: only the scores of this node count; '' for all nodes.
    """
    wanted = scores.equals("name", NAME) & ~np.isnan(scores.value)
    scores = scores.take(wanted & scores.equals("producer", scorer) if scorer else wanted)
    about = scores.about(rows.column)
    lowest = np.full(len(rows.shard.column(rows.column)), np.inf)
    np.minimum.at(lowest, about[about >= 0], scores.value[about >= 0])
    value = lowest[rows.rows]
    return np.where(np.isinf(value) | rows.human, np.nan, value)


def verdicts(rule: str, rows: View, value: Floats, floors: Floats, *, drop_unmeasured: bool) -> list[Verdict]:
    measured = ~np.isnan(value) | rows.human
    return [
        Verdict(measured | (not drop_unmeasured), f"{rule}.unmeasured"),
        Verdict(~(value < floors), f"{rule}.floor", value, floors),
    ]
