"""The answers of nodes for the images that are measured, in the types of model/evaluate."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from engine.reading.dataset import CurrentNode, Dataset
from engine.records.boxes import row_box
from engine.records.labels import plain_words
from engine.records.overlaps import iou_pairs, suppress
from engine.records.shard import Column, Ints, Shard, as_lists, one_array
from engine.schema import REGION, Chunk, Region
from engine.storage.commits import TableReader
from model.evaluate.dense import Described
from model.evaluate.detections import Detections, Found, Truth, TruthImage, as_columns
from pipelines.evaluation.truth import Row
from pipelines.filter.kept_record import Rows, Tables, only, rows_of
from specialists.label_grounder import all_names, named

NMS_IOU = 0.5


def predictions(dataset: Dataset, wanted: set[str]) -> Iterator[tuple[CurrentNode, Tables]]:
    """Yields each node that works on images, with its answers for the wanted images."""
    for node in dataset.nodes:
        if node.over == "images":
            paths = dataset.files(node.folder).values()
            yield node, [only(TableReader(dataset.storage, path).read(), wanted) for path in paths]


def rows_with_named(tables: Tables, others: Iterable[Tables] = ()) -> Rows:
    """The answers as rows. Of their regions, only those that a phrase or a region text names, also one of `others`:
    most regions are boxes without a text, and as rows they would take minutes.
    """
    named = [_named_regions(table) for some in (tables, *others) for table in some]
    keys = pa.concat_arrays([pa.array([], pa.string()), *named])
    return rows_of([_with_regions(table, pc.is_in(_region_keys(table), value_set=keys)) for table in tables])


def _named_regions(table: pa.Table) -> pa.Array:
    """The keys of the regions that phrases and region texts name."""
    shard = Shard(table, table)
    phrases, texts = shard.column("phrases"), shard.column("region_texts")
    of_phrases = _keys(shard, phrases.image[shard.phrase_of_link], phrases.arrow("region_ids").flatten())
    return pa.concat_arrays([of_phrases, _keys(shard, texts.image, texts.arrow("region_id"))])


def _region_keys(table: pa.Table) -> pa.Array:
    shard = Shard(table, table)
    return _keys(shard, shard.column("regions").image, shard.column("regions").arrow("id"))


def _keys(shard: Shard, image: Ints, region_ids: pa.Array) -> pa.Array:
    """A key for each region: ids are unique in an image only."""
    return pc.binary_join_element_wise(shard.ids.take(pa.array(image)), region_ids, " ")


def _with_regions(table: pa.Table, mask: pa.Array) -> pa.Table:
    column = Column(one_array(table["regions"]))
    offsets = np.append(0, np.cumsum(mask.to_numpy(zero_copy_only=False)))[column.offsets]
    at = table.schema.get_field_index("regions")
    lists = as_lists(table.schema.field(at).type, offsets, column.values.filter(mask))
    return table.set_column(at, table.schema.field(at), lists)


def with_referenced(kind: str, rows: Rows, given: Rows) -> Rows:
    """The rows, completed with annotations of other nodes: the texts and regions of phrases, and the regions of texts.

    given: the whole record, from which the other annotations are taken.
    """
    if kind == "phrases":
        return {name: {**given[name], "phrases": row["phrases"]} for name, row in rows.items() if name in given}
    if kind == "region_texts":
        return {name: {**row, "regions": _all_regions(row, given.get(name))} for name, row in rows.items()}
    return rows


def _all_regions(row: Row, given: Row | None) -> list[Row]:
    own = {region["id"] for region in row["regions"]}
    return [*row["regions"], *(region for region in (given["regions"] if given else ()) if region["id"] not in own)]


# --- boxes --------------------------------------------------------------------------------------


def certainty(item: Row) -> float:
    """The score of an annotation. It is 1 for human annotations, which have no score."""
    return 1.0 if item["score"] is None else float(item["score"])


def detections(tables: Tables, node: CurrentNode | None = None) -> Detections:
    """The objects in each image: all boxes of a detector. If `node` merges boxes, merged ones are left out."""
    detector = node is not None and "regions" not in node.gives
    images = [name for table in tables for name in table["image_id"].to_pylist()]
    firsts = np.cumsum([0, *map(len, tables)])
    parts = [_boxes(table, first, detector) for table, first in zip(tables, firsts.tolist(), strict=False)]
    regions = pa.concat_tables([part for part, _ in parts]) if parts else _NO_BOXES
    label = pc.dictionary_encode(one_array(regions["label"]))
    corners = [regions[side].to_numpy().astype(np.float64) for side in _SIDES]
    rles = regions["rle"].to_pylist() if pc.any(pc.not_equal(regions["rle"], "")).as_py() else ()
    return Detections(
        images,
        label.dictionary.to_pylist(),
        np.concatenate([np.zeros(0, np.int64), *(image for _, image in parts)]),
        label.indices.to_numpy().astype(np.int64),
        np.column_stack(corners),
        pc.fill_null(regions["score"], 1.0).to_numpy(),
        rles,
    )


_SIDES = ("x1", "y1", "x2", "y2")
_NO_BOXES = pa.Table.from_batches([], pa.schema([REGION.field(name) for name in ("label", *_SIDES, "rle", "score")]))


def _boxes(table: pa.Table, first: int, detector: bool) -> tuple[pa.Table, Ints]:
    """(some fields of the objects, the row of the image of each). `first`: the row of the first image."""
    column = Column(one_array(table["regions"]))
    wanted = pc.equal(column.arrow("kind"), "object")
    if not detector:
        wanted = pc.and_(wanted, pc.equal(column.arrow("merged_into"), ""))
    arrays = [column.arrow(name).filter(wanted) for name in _NO_BOXES.schema.names]
    image = column.image[wanted.to_numpy(zero_copy_only=False)] + first
    return pa.Table.from_arrays(arrays, schema=_NO_BOXES.schema), image


def without_duplicates(found: Found, iou: float = NMS_IOU) -> Detections:
    """Non-maximum suppression among boxes with the same label in an image, as consensus does before it merges boxes."""
    given = as_columns(found)
    some = given.ordered(sorted(given.images))
    numbers: dict[str, int] = {}
    plain = np.array([numbers.setdefault(plain_words(label), len(numbers)) for label in some.labels], np.int64)
    group = some.image * max(1, len(numbers)) + plain[some.label]
    i, j, _ = iou_pairs(group, some.boxes, min_iou=iou)
    return some.take(np.flatnonzero(suppress(i, j, some.scores)))


# --- texts of regions, phrases ----------------------------------------------------------------------


def descriptions(row: Row) -> list[Described]:
    """The brief texts about objects that models wrote, with the box and the score of their region."""
    regions = {region["id"]: region for region in row["regions"] if region["kind"] == "object"}
    return [
        Described(row_box(regions[text["region_id"]]), text["text"], certainty(regions[text["region_id"]]))
        for text in row["region_texts"]
        if text["region_id"] in regions and text["granularity"] == "brief" and text["score"] is not None
    ]


class LabelPhrase(NamedTuple):
    """A phrase that names the label of true objects.

    regions: the regions that the phrase refers to, highest score first. things: the true objects with this label.
    """

    regions: list[Row]
    things: list[Truth]


def phrases_of_labels(truth: TruthImage, row: Row) -> Iterator[LabelPhrase]:
    """Yields the phrases that name a label of the truth, matched by the label grounder's names and synonyms."""
    objects: dict[str, list[Region]] = defaultdict(list)
    for thing in truth.objects:
        if not thing.crowd:
            objects[plain_words(thing.label)].append(Region(*thing.box, thing.label))
    names = all_names(frozenset(objects), True)
    texts = {text["id"]: text["text"] for text in row["texts"]}
    regions = {region["id"]: region for region in row["regions"]}
    for phrase in row["phrases"]:
        words = texts.get(phrase["text_id"], "")[phrase["char_start"] : phrase["char_end"]]
        meant = named(Chunk(0, len(words), "", False, words), names, objects).regions
        if meant:
            label = plain_words(meant[0].label)
            found = [regions[name] for name in phrase["region_ids"] if name in regions]
            found.sort(key=lambda region: -certainty(region))
            yield LabelPhrase(found, [thing for thing in truth.objects if plain_words(thing.label) == label])
