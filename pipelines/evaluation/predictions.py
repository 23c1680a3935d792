"""The answers of nodes for the images that are measured, in the types of model/evaluate."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

from engine.reading.dataset import CurrentNode, Dataset
from engine.records.boxes import row_box
from engine.records.labels import plain_words
from engine.records.overlaps import iou_pairs, suppress
from engine.schema import Chunk, Region
from engine.storage.commits import TableReader
from model.evaluate.dense import Described
from model.evaluate.detections import Detection, Truth, TruthImage
from pipelines.evaluation.truth import Row
from pipelines.filter.kept_record import Rows, only
from specialists.label_grounder import all_names, named

NMS_IOU = 0.5


def predictions(dataset: Dataset, wanted: set[str]) -> Iterator[tuple[CurrentNode, Rows]]:
    """Yields each node that works on images, with its rows for the wanted images."""
    for node in dataset.nodes:
        if node.over == "images":
            paths = dataset.files(node.folder).values()
            tables = [only(TableReader(dataset.storage, path).read(), wanted) for path in paths]
            yield node, {row["image_id"]: row for table in tables for row in table.to_pylist()}


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


def detections(rows: Rows, node: CurrentNode | None = None) -> dict[str, list[Detection]]:
    """The objects in each image: all boxes of a detector. If `node` merges boxes, merged ones are left out."""
    detector = node is not None and "regions" not in node.gives
    return {
        image_id: [
            Detection(r["label"], row_box(r), certainty(r), r["rle"])
            for r in row["regions"]
            if r["kind"] == "object" and (detector or not r["merged_into"])
        ]
        for image_id, row in rows.items()
    }


def without_duplicates(found: Mapping[str, list[Detection]], iou: float = NMS_IOU) -> dict[str, list[Detection]]:
    """Non-maximum suppression among boxes with the same label in an image, as consensus does before it merges boxes."""
    flat = [(image, one) for image in sorted(found) for one in found[image]]
    numbers: dict[tuple[str, str], int] = {}
    group = np.array([numbers.setdefault((i, plain_words(one.label)), len(numbers)) for i, one in flat], np.int64)
    boxes = np.array([one.box for _, one in flat], np.float64).reshape(-1, 4)
    i, j, _ = iou_pairs(group, boxes, min_iou=iou)
    stays = suppress(i, j, np.array([one.score for _, one in flat], np.float64))
    answer: dict[str, list[Detection]] = {image: [] for image in found}
    for (image, one), still in zip(flat, stays.tolist(), strict=True):
        if still:
            answer[image].append(one)
    return answer


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
