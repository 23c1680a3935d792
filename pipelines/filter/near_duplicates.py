"""Finds near-duplicate images in the whole data set, by their perceptual hashes, for the rule `near_duplicate`.

`hashes_of` collects the hashes of one shard, and `near_duplicates` compares those of all shards.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from engine.images.near_duplicates import Hashes, distances, groups, neighbours
from engine.images.perceptual_hash import hashes_to_array
from engine.records.columns import ImageScores
from engine.records.shard import Bools, Ints, one_array
from engine.schema import required
from filters.judging.apply_rules import ShardJudgement

HASHES = pa.schema(
    [required(name, kind) for name, kind in (("image_id", pa.string()), ("phash", pa.string()))]
    + [required(name, pa.int64()) for name in ("pixels", "bytes")]
)
SAME = pa.schema(
    [required("image_id", pa.string()), required("same_as", pa.string()), required("same_distance", pa.float64())]
)


def hashes_of(judgement: ShardJudgement) -> pa.Table:
    """The first perceptual hash of each image that no earlier rule has dropped."""
    scores = judgement.view("image_scores")
    assert isinstance(scores, ImageScores)
    codes = scores.strings("code")
    rows = np.flatnonzero(scores.equals("name", "phash") & _filled(codes))
    image, first = np.unique(scores.image[rows], return_index=True)
    pixels = judgement.shard.image.numbers("width").astype(np.int64) * judgement.shard.image.numbers("height")
    arrays = [judgement.shard.ids.take(pa.array(image)), codes.take(pa.array(rows[first])), pa.array(pixels[image])]
    arrays.append(judgement.shard.image.arrow("bytes").take(pa.array(image)))
    return pa.Table.from_arrays(arrays, schema=HASHES)


def _filled(strings: pa.Array) -> Bools:
    answer: Bools = pc.not_equal(strings, "").to_numpy(zero_copy_only=False)
    return answer


def near_duplicates(hashes: pa.Table, radius: int) -> pa.Table:
    """Table SAME: each near-duplicate, a better image that represents it, and their distance (at most `radius` bits).

    From the best image to the worst, each represents all images within the radius that no better image represents.
    """
    if not hashes.num_rows:  # then all images are flat (and have no hash) or were dropped by earlier rules
        return SAME.empty_table()
    found = hashes_to_array(hashes["phash"].to_pylist())
    i, j, _ = neighbours(found, radius, forest=True)
    # The sort is stable: of images that are equally good, the one listed first counts as the best.
    order = np.lexsort((-hashes["bytes"].to_numpy(), -hashes["pixels"].to_numpy()))
    stands = _representatives(found, groups(len(found), i, j), order, radius)
    rows = np.flatnonzero(stands[:, 0] >= 0)
    ids = one_array(hashes["image_id"])
    arrays = [ids.take(pa.array(rows)), ids.take(pa.array(stands[rows, 0])), pa.array(stands[rows, 1].astype(float))]
    return pa.Table.from_arrays(arrays, schema=SAME)


def _representatives(hashes: Hashes, group: Ints, order: Ints, radius: int) -> Ints:
    """Array (n, 2): for each row, its representative's row and their distance in bits. -1 if the row represents itself.

    `order`: rows, best first. `radius`: the largest distance to a representative. A long chain of similar images
    therefore gets several representatives.
    """
    answer = np.full((len(hashes), 2), -1, np.int64)
    order = order[np.argsort(group[order], kind="stable")]  # sorted by group, the best image of each group first
    for rest in np.split(order, np.flatnonzero(np.diff(group[order])) + 1):
        while len(rest) > 1:
            best, rest = rest[0], rest[1:]
            apart = distances(hashes[best], hashes[rest])
            near = apart <= radius
            answer[rest[near]] = np.column_stack([np.full(near.sum(), best), apart[near]])
            rest = rest[~near]
    return answer
