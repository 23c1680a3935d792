"""Drops images that show the same as a better image, by their embeddings (SemDeDup, arXiv 2303.09540).

Needs a node that gives embeddings, and a pass over the whole data set. An image is dropped if the distance of its
embedding to that of a better image is at most `eps`. The better of two images has more pixels, then more bytes, then
the earlier place in the listing. Use this as the last rule for images: images that earlier rules dropped are not
compared.

Training images near an audit image are dropped too, even if they are better, because a model must not be measured on
images it was trained on. The reason in their verdict is `semantic_duplicate.audit`. An audit image is never dropped
because of a training image.

In a chain of similar images only the best one is kept, although the two ends may look different: raise `eps` with care.
`engine run --stage filter --dry-run` shows the share of images that several values of `eps` would keep.
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
    """Drop images within `eps` of a better image, and training images within `audit_eps` of an audit image. The
    distance is 1 - cosine. `producer`: the node whose embeddings are compared; needed if several nodes give embeddings.
    """
    near, audit = images.semantic_distance, images.audit_distance  # NaN (no similar image) is kept
    return [
        Verdict(~np.less_equal(audit, audit_eps), "semantic_duplicate.audit", audit, audit_eps),
        Verdict(~np.less_equal(near, eps), "semantic_duplicate", near, eps),
    ]
