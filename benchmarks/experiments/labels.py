"""Figures of the labels of all training images against the drawn scenes, before and after each round."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from engine.layout import IMAGES
from engine.reading.dataset import Dataset
from engine.records.boxes import row_box
from engine.running.graph import Node
from engine.schema import as_row
from engine.storage.commits import TableReader
from engine.storage.files import Storage
from model.evaluate.detections import Detection, Truth, TruthImage
from pipelines.filter.kept_record import records
from pipelines.recipe import Recipe
from pipelines.refine.audit import dataset_of
from pipelines.refine.round_record import RoundRecord
from pipelines.refine.standing import Standing, standing, with_round
from pipelines.stages.state import read_state
from refinement.measures import agreement, named
from specialists.synthetic.world import scene_at

Boxes = Mapping[str, Sequence[Detection]]
Figures = dict[str, Any]


def stages(recipe: Recipe, biased: Collection[str] = ()) -> dict[str, Figures]:
    """Figures of the annotator, of the filtered labels, and of each accepted round and its students.

    biased: labels that get a column for their own accuracy.
    """
    storage = Storage(recipe.dataset)
    state = read_state(storage, recipe)
    nodes, judge = state.annotators, state.judge
    truth = truth_of(Dataset.open(recipe.dataset))
    answer = {"annotator": figures_of(storage, nodes, judge, "noisy", truth, biased)}
    answer["filtered"] = figures(truth, kept(storage, nodes, judge, set(truth)), biased)
    for number in range(1, recipe.refine.rounds + 1):
        fewer = recipe.model_copy(update={"refine": recipe.refine.model_copy(update={"rounds": number})})
        now = standing(storage, fewer, nodes, judge)
        if len(now.accepted) < number:
            break
        answer[f"students of round {number}"] = figures_of(
            storage, now.nodes, now.judge, f"round-{number}-propose", truth, biased
        )
        answer[f"round {number}"] = figures(truth, kept(storage, now.nodes, now.judge, set(truth)), biased)
    return answer


def if_accepted(recipe: Recipe, record: RoundRecord) -> Figures:
    """Figures of the labels after a first round, even if the gate refused it."""
    storage = Storage(recipe.dataset)
    state = read_state(storage, recipe)
    now = with_round(recipe, Standing(state.annotators, state.judge), record)
    truth = truth_of(Dataset.open(recipe.dataset))
    return figures(truth, kept(storage, now.nodes, now.judge, set(truth)))


def truth_of(dataset: Dataset) -> dict[str, TruthImage]:
    """The drawn objects in the training images."""
    answer = {}
    for path in dataset.files(IMAGES).values():
        for row in TableReader(dataset.storage, path).read().to_pylist():
            if row["split"] == "train":
                drawn = [as_row(region) for region in scene_at(row["sources"][0]["uri"]).truth.regions]
                objects = [Truth(one["label"], row_box(one)) for one in drawn if one["kind"] == "object"]
                answer[row["image_id"]] = TruthImage(row["width"], row["height"], objects)
    return answer


def kept(storage: Storage, nodes: Sequence[Node], judge: Node, wanted: set[str]) -> Boxes:
    return _detections(records(dataset_of(storage, nodes, judge), wanted)[1], wanted)


def figures_of(
    storage: Storage,
    nodes: Sequence[Node],
    judge: Node,
    name: str,
    truth: Mapping[str, TruthImage],
    biased: Collection[str] = (),
) -> Figures:
    """Figures of all answers of one node, kept or not."""
    dataset = dataset_of(storage, nodes, judge)
    folder = next(node.folder for node in nodes if node.name == name)
    rows: dict[str, Any] = {}
    for path in dataset.files(folder).values():
        rows |= {row["image_id"]: row for row in TableReader(dataset.storage, path).read().to_pylist()}
    return figures(truth, _detections(rows, set(truth)), biased)


def _detections(rows: Mapping[str, Any], wanted: set[str]) -> Boxes:
    return {
        image_id: [
            Detection(region["label"], row_box(region), region["score"] or 0.0)
            for region in rows.get(image_id, {}).get("regions", ())
        ]
        for image_id in wanted
    }


def figures(truth: Mapping[str, TruthImage], found: Boxes, biased: Collection[str] = ()) -> Figures:
    """Counts and F1 of boxes. labels right: the share of right labels among the objects that some box matches."""
    objects = {name: image.objects for name, image in truth.items()}
    half, three = (agreement(objects, found, iou=iou) for iou in (0.5, 0.75))
    right, boxes, true = (int(column.sum()) for column in (half.right, half.found, half.labels))
    objects_named = named(truth, found)
    answer: Figures = {
        "boxes": boxes,
        "precision": right / max(boxes, 1),
        "recall": right / max(true, 1),
        "F1@.5": half.f1,
        "F1@.75": three.f1,
        "labels right": int(objects_named.right.sum()) / max(int(objects_named.seen.sum()), 1),
    }
    if biased:
        own = objects_named.seen & [objects_named.labels[row] in biased for row in objects_named.label.tolist()]
        answer[f"of {', '.join(sorted(biased))}"] = int((own & objects_named.right).sum()) / max(int(own.sum()), 1)
    return answer
