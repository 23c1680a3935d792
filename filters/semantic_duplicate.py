"""Drops images that show the same as another one, by their embeddings (SemDeDup, arXiv 2303.09540).

Needs a node that gives embeddings, and a pass over the whole data set. An image is dropped if its embedding is within
`eps` of that of a better image: one with more pixels, then more bytes, then listed earlier. Use it as the last rule for
images: images that earlier rules dropped are not considered.

Training images that are near an audit image are dropped too, however good they are: a student must not be measured on
what it was trained on. The reason of these is `semantic_duplicate.audit`. An audit image is never dropped for a
training image.

A chain of similar images loses all but its best one, although the ends may differ: raise `eps` with care. `engine run
--stage filter --dry-run` shows which share of the images would be kept at several values.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import numpy as np
from pydantic import Field

from engine.records.columns import SemanticImages
from filters.judging.needs import embeddings, needs
from filters.verdict import Verdict, applied_later

Distance = Annotated[float, Field(ge=0, le=1)]


@applied_later("eps", "audit_eps")
@needs(embeddings)
def semantic_duplicate(
    images: SemanticImages, *, eps: Distance = 0.05, audit_eps: Distance = 0.05, producer: str = ""
) -> Sequence[Verdict]:
    """Drop images within `eps` (1 - cosine) of a better one, and training images within `audit_eps` of an audit image.

    `producer`: the node whose embeddings are compared; needed only if several nodes give embeddings.
    """
    near, audit = images.semantic_distance, images.audit_distance  # NaN, where there is none, is kept
    return [
        Verdict(~np.less_equal(audit, audit_eps), "semantic_duplicate.audit", audit, audit_eps),
        Verdict(~np.less_equal(near, eps), "semantic_duplicate", near, eps),
    ]
