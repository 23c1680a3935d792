"""Groups of images that stay in one split: near-duplicates, or images with similar embeddings."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from engine.errors import ConfigError
from engine.images.near_duplicates import groups, neighbours
from engine.images.perceptual_hash import RADIUS, hashes_to_array
from engine.layout import SPLITS
from engine.reading.dataset import Dataset
from engine.reading.sql import connect, run_query
from engine.records.shard import one_array
from engine.running.graph import Node
from engine.storage.commits import Commits, TableReader
from engine.storage.files import Storage
from pipelines.emit.choice.candidates import Candidates, Ints
from pipelines.filter.whole_set import read_surveyed
from pipelines.release_options import Splits

NO_HASHES = (
    "emit.splits keeps near-duplicates together, but no image has a perceptual hash: add a node with "
    "'use: image_quality' to annotate, or split single images with emit.splits.by: image."
)
NO_EMBEDDINGS = (
    "emit.splits.by is semantic, but no embeddings are compared: add the rule semantic_duplicate to filter, "
    "and a node with 'use: embed' to annotate, or use near_duplicate."
)
_HASHES = "SELECT image_id, min(code) AS phash FROM image_scores WHERE name = 'phash' AND code <> '' GROUP BY image_id"


def groups_of(dataset: Dataset, images: Candidates, judge: Node, options: Splits) -> Ints:
    """The number of each image's group. An image without a hash or an embedding is a group of its own.

    Raises ConfigError if the data set has neither hashes nor compared embeddings, as `options.by` needs them.
    """
    if options.by == "image":
        return np.arange(len(images))
    if options.by == "near_duplicate":
        i, j = _near_duplicates(dataset, images)
    else:
        i, j = _similar(dataset.storage, images, judge, options.distance)
    return groups(len(images), i, j)


def _near_duplicates(dataset: Dataset, images: Candidates) -> tuple[Ints, Ints]:
    """Pairs of images whose hashes differ in at most RADIUS bits: enough pairs to form the groups."""
    known = _hashes(dataset)
    rows = pc.index_in(images.ids, value_set=one_array(known["image_id"]))
    there = np.flatnonzero(rows.is_valid().to_numpy(zero_copy_only=False))
    if not len(there):
        if not len(images):
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        raise ConfigError(NO_HASHES)
    codes = one_array(known["phash"]).take(rows.take(pa.array(there))).to_pylist()
    i, j, _ = neighbours(hashes_to_array(codes), RADIUS, forest=True)
    return there[i], there[j]


def _hashes(dataset: Dataset) -> pa.Table:
    """The perceptual hashes that a node measured or, if none did, those that ingest used to draw the audit split."""
    with connect(dataset) as con:
        found = run_query(con, _HASHES)
    if found.num_rows:
        return found
    commits = Commits(dataset.storage, SPLITS)
    tables = [
        TableReader(dataset.storage, path, ["image_id", "phash"]).read() for path in commits.data_files().values()
    ]
    drawn = pa.concat_tables([found.cast(pa.schema([("image_id", pa.string()), ("phash", pa.string())])), *tables])
    return drawn.filter(pc.not_equal(drawn["phash"], ""))


def _similar(storage: Storage, images: Candidates, judge: Node, distance: float) -> tuple[Ints, Ints]:
    """Pairs of an image and the nearest better one, if their embeddings are within `distance`."""
    surveyed = read_surveyed(storage, str(judge.options.get("surveyed", "")))
    if not surveyed.committed_curve:
        raise ConfigError(NO_EMBEDDINGS)
    left, right = list[Ints](), list[Ints]()
    for shard in np.unique(images.shard).tolist():
        table = surveyed.semantic(shard)
        near = table.filter(pc.less_equal(table["semantic_distance"], distance))
        pair = [pc.index_in(one_array(near[name]), value_set=images.ids) for name in ("image_id", "better")]
        both = pc.and_(pair[0].is_valid(), pc.is_valid(pair[1]))
        left.append(pair[0].filter(both).to_numpy(zero_copy_only=False).astype(np.int64))
        right.append(pair[1].filter(both).to_numpy(zero_copy_only=False).astype(np.int64))
    empty = np.zeros(0, np.int64)
    return np.concatenate([empty, *left]), np.concatenate([empty, *right])
