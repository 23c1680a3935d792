"""Drops copies of a photo that were re-encoded, scaled or slightly cropped. Exact copies are merged by ingest.

Needs the perceptual hashes of `image_quality`, and a pass over the whole data set. Of a group of similar images it
keeps the one with the most pixels, then the most bytes, then the first. Images whose hash is within `radius` bits of
the kept one are dropped. Use it as the last rule for images: images that earlier rules dropped are not compared.

For example, of a photo and its thumbnail the thumbnail is dropped. The value of its verdict is the distance between the
two hashes.
"""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field

from engine.images.perceptual_hash import RADIUS
from engine.records.columns import WholeSetImages
from filters.verdict import Verdict


def near_duplicate(images: WholeSetImages, *, radius: Annotated[int, Field(ge=0, le=256)] = RADIUS) -> Verdict:
    """Drop images whose hash differs in at most `radius` of 256 bits from that of the image kept in their place."""
    distance = images.same_distance
    return Verdict(np.isnan(distance), "near_duplicate", distance, radius)
