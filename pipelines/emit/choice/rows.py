"""Reads the rows of one shard of a release, in a worker.

Without a choice, a shard of the release has the kept training images of one shard of the data set, in its order. With
a choice, it has the images that the choice lists, which may be in several shards of the data set.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.compute as pc

from engine.layout import IMAGES
from engine.records.embeddings import EMBEDDING
from engine.records.shard import one_array
from engine.running.messages import Unit
from engine.running.shard_inputs import ShardInputs
from engine.schema import required
from filters.judging.keep import keep
from pipelines.emit.choice.labels import relabelled
from pipelines.filter.judge import shard_record

# The images of one shard of a release, in its order. `shard`, `row`: their place in the data set.
CHOICE = pa.schema([required("image_id", pa.string()), required("shard", pa.int32()), required("row", pa.int32())])


@dataclass(frozen=True, slots=True)
class ChosenRows:
    """The rows of one shard of a release.

    `kept`: the kept annotations (schema RECORD). `images`: rows of IMAGES, in the same order. `number`: of the shard in
    its split. `embeddings`: {node: column of vectors}, null where an image has none. `labels`: what the label map did.
    """

    kept: pa.Table
    images: pa.Table
    split: str = "train"
    number: int = 0
    embeddings: Mapping[str, pa.ChunkedArray] = field(default_factory=dict)
    labels: Mapping[str, Any] = field(default_factory=dict)


class Chooser(Protocol):
    """What `chosen_rows` needs of the component `Release`."""

    numbers: dict[int, int]
    record: list[Any]
    parses: list[str]
    embeddings: Sequence[str]
    reads: dict[str, Sequence[str]]
    label_map: dict[str, Any]


def chosen_rows(release: Chooser, shard: int, inputs: ShardInputs) -> ChosenRows:
    """The rows of this shard of the release."""
    if release.reads:
        rows = _from_choice(release, inputs)
    else:
        kept, images = _kept(release, inputs)
        columns = _embeddings(release.embeddings, inputs, kept["image_id"].to_pylist())
        rows = ChosenRows(kept, images, "train", release.numbers.get(shard, 0), columns)
    if not any(release.label_map.values()):
        return rows
    kept, labels = relabelled(rows.kept, release.label_map["rename"], release.label_map["drop"])
    return replace(rows, kept=kept, labels=labels)


def _kept(release: Chooser, inputs: ShardInputs) -> tuple[pa.Table, pa.Table]:
    """The kept annotations of the training images of a shard of the data set, and the rows of these images."""
    record, _ = shard_record(inputs, release.record, release.parses)
    kept = _without_audit(keep(record, inputs.table("judge")), inputs.images)
    return kept, _rows_of(inputs.images, kept["image_id"].to_pylist())


def _without_audit(kept: pa.Table, images: pa.Table) -> pa.Table:
    """The rows of images in the split "train". Images of the audit split are used to measure, never to train."""
    training = images.filter(pc.equal(images["split"], "train"))["image_id"]
    return kept.filter(pc.is_in(kept["image_id"], value_set=training.combine_chunks()))


def _rows_of(images: pa.Table, wanted: Sequence[str]) -> pa.Table:
    position = {image_id: row for row, image_id in enumerate(images["image_id"].to_pylist())}
    return images.take(pa.array([position[image_id] for image_id in wanted], pa.int64()))


def _embeddings(names: Sequence[str], inputs: ShardInputs, ids: Sequence[str]) -> dict[str, pa.ChunkedArray]:
    """The columns of vectors of these images. If a crash lost every image of a shard, its table has no column."""
    tables = {name: inputs.table(name) for name in names}
    return {
        name: _rows_of(table.select(["image_id", EMBEDDING]), ids)[EMBEDDING]
        for name, table in tables.items()
        if EMBEDDING in table.column_names
    }


def _from_choice(release: Chooser, inputs: ShardInputs) -> ChosenRows:
    """The rows that the choice lists. Reads each shard of the data set that they are in."""
    counts = inputs.record(IMAGES).counts
    kept, images, vectors = list[pa.Table](), list[pa.Table](), list[dict[str, pa.ChunkedArray]]()
    for number, revisions in counts["shards"].items():
        source = _source(release, inputs, int(number), revisions)
        own_kept, own_images = _kept(release, source)
        mine = pc.is_in(one_array(own_kept["image_id"]), value_set=one_array(inputs.images["image_id"]))
        kept.append(own_kept.filter(mine))
        images.append(own_images.filter(mine))
        vectors.append(_embeddings(release.embeddings, source, kept[-1]["image_id"].to_pylist()))
        inputs.digests |= source.digests
    joined = pa.concat_tables(kept)
    order = pc.index_in(one_array(inputs.images["image_id"]), value_set=one_array(joined["image_id"]))
    columns = _joined(release.embeddings, vectors, [table.num_rows for table in kept])
    return ChosenRows(
        joined.take(order),
        pa.concat_tables(images).take(order),
        str(counts["split"]),
        int(counts["number"]),
        {name: column.take(order) for name, column in columns.items()},
    )


def _source(release: Chooser, inputs: ShardInputs, shard: int, revisions: Mapping[str, int]) -> ShardInputs:
    """Opens a shard of the data set, in the revisions that the choice was made from."""
    reads = {name: tuple(kinds) for name, kinds in release.reads.items()}
    node = replace(inputs.node, base=IMAGES, inputs=reads)
    unit = Unit(inputs.node.name, shard, inputs.unit.revision, revisions)
    return ShardInputs(inputs.storage, inputs.nodes, node, unit)


def _joined(
    names: Sequence[str], parts: Sequence[Mapping[str, pa.ChunkedArray]], sizes: Sequence[int]
) -> dict[str, pa.ChunkedArray]:
    """The columns of vectors of several shards, one after the other. Null where a shard has none."""
    answer: dict[str, pa.ChunkedArray] = {}
    for name in names:
        kinds = [part[name].type for part in parts if name in part]
        if kinds:
            pieces = [
                one_array(part[name]) if name in part else pa.nulls(size, kinds[0])
                for part, size in zip(parts, sizes, strict=True)
            ]
            answer[name] = pa.chunked_array(pieces, kinds[0])
    return answer
