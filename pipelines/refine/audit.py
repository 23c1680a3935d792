"""What a round does to the labels of audit images, for the gate: the only reader of `truth/` on the way to a release.

It gives counts and figures; no label of a person leaves it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from engine.errors import ConfigError
from engine.reading.dataset import CurrentNode, Dataset
from engine.records.boxes import row_box
from engine.running.graph import Node
from engine.storage.files import Storage
from model.evaluate.detections import Detection
from model.evaluate.texts import measure_captions
from pipelines.evaluation.truth import Truths, audit_truth
from pipelines.filter.judge import record_columns
from pipelines.filter.kept_record import Rows, records
from refinement.measures import Audit, audit

Side = tuple[Sequence[Node], Node]  # nodes, and the judge of what they made
FIGURE = "brief CIDEr-D"


def audited(
    storage: Storage, before: Side, after: Side, split: str = "audit-fit", *, texts: bool = False
) -> Audit | None:
    """None where the data set has no audit images with boxes of people; with `texts` captions of people do as well."""
    sides = [dataset_of(storage, *side) for side in (before, after)]
    try:
        truth = audit_truth(sides[0], split)
    except ConfigError:
        return None
    objects = truth.objects if any(image.objects for image in truth.objects.values()) else {}
    written = [name for name, captions in truth.captions.items() if captions] if texts else []
    if not objects and not written:
        return None
    kept = [records(side, {*objects, *written})[1] for side in sides]
    figures = {FIGURE: (_cider(kept[0], truth), _cider(kept[1], truth))} if written else {}
    return audit(objects, _objects(kept[0], objects), _objects(kept[1], objects), figures)


def dataset_of(storage: Storage, nodes: Sequence[Node], judge: Node) -> Dataset:
    """The data set as these nodes make it, whatever current.json says."""
    made = [
        CurrentNode(node.name, node.key, node.folder, over=node.over, columns=tuple(record_columns(node, nodes)))
        for node in nodes
        if node.over != "texts"
    ]
    return Dataset(storage, made, judge.folder, "")


def _objects(kept: Rows, wanted: Mapping[str, object]) -> Mapping[str, list[Detection]]:
    """Kept boxes of each image; none of an image that was dropped."""
    return {
        image_id: [
            Detection(region["label"], row_box(region), 1.0 if region["score"] is None else region["score"])
            for region in kept.get(image_id, {}).get("regions", ())
            if region["kind"] == "object"
        ]
        for image_id in wanted
    }


def _cider(kept: Rows, truth: Truths) -> npt.NDArray[np.float64]:
    """Of each image that people wrote of, by name, the mean over its kept brief texts by machines; 0 without any."""
    said = {
        image_id: [
            text["text"]
            for text in kept.get(image_id, {}).get("texts", ())
            if text["granularity"] == "brief" and text["score"] is not None
        ]
        for image_id, captions in truth.captions.items()
        if captions
    }
    total: npt.NDArray[np.float64] = np.zeros(len(said))
    for number in range(max(map(len, said.values()))):
        some = {image_id: texts[number] for image_id, texts in said.items() if number < len(texts)}
        there = np.array([number < len(said[image_id]) for image_id in sorted(said)])
        total += np.where(there, measure_captions(truth.captions, some).cider, 0.0)
    return total / np.maximum([len(said[image_id]) for image_id in sorted(said)], 1)
