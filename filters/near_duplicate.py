"""The same photo again: re-encoded, scaled, a little cropped. Exact copies are one image since ingest.

Needs the perceptual hashes that `image_quality` gives. Which image stands for which, only the whole set can tell: the
one of most pixels, of equals that of most bytes, of these the first that came; every image within `radius` of it is the
same. Put this rule last among those that judge images: what earlier rules dropped stands for nothing.

Of a photo in full size and its thumbnail the thumbnail is dropped, with the distance of the two as the value.
"""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field

from engine.images.perceptual_hash import RADIUS
from engine.records.columns import WholeSetImages
from filters.verdict import Verdict


def near_duplicate(images: WholeSetImages, *, radius: Annotated[int, Field(ge=0, le=256)] = RADIUS) -> Verdict:
    """Drop images whose hash differs in at most `radius` of 256 bits from that of the image that stands for them."""
    distance = images.same_distance
    return Verdict(np.isnan(distance), "near_duplicate", distance, radius)
