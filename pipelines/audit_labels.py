"""What a round does to the labels of audit images, for the gate: the only reader of `truth/` on the way to a release.

It gives counts; no label of a person leaves it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from engine.dataset import CurrentNode, Dataset
from engine.errors import ConfigError
from engine.graph import Node
from engine.storage import Storage
from model.evaluate.detections import Detection
from pipelines.filter import record_columns
from pipelines.kept import records
from pipelines.truth import audit_truth, box_of
from refinement.measures import Audit, audit

Side = tuple[Sequence[Node], Node]  # nodes, and the judge of what they made


def audited(storage: Storage, before: Side, after: Side, split: str = "audit-fit") -> Audit | None:
    """None where the data set has no audit images with boxes of people."""
    sides = [dataset_of(storage, *side) for side in (before, after)]
    try:
        truth = audit_truth(sides[0], split).objects
    except ConfigError:
        return None
    if not any(image.objects for image in truth.values()):
        return None
    early, late = (_objects(side, set(truth)) for side in sides)
    return audit(truth, early, late)


def dataset_of(storage: Storage, nodes: Sequence[Node], judge: Node) -> Dataset:
    """The data set as these nodes make it, whatever current.json says."""
    made = [
        CurrentNode(node.name, node.key, node.folder, over=node.over, columns=tuple(record_columns(node, nodes)))
        for node in nodes
        if node.over != "texts"
    ]
    return Dataset(storage, made, judge.folder, "")


def _objects(dataset: Dataset, wanted: set[str]) -> Mapping[str, list[Detection]]:
    """Kept boxes of each image; none of an image that was dropped."""
    _, kept = records(dataset, wanted)
    return {
        image_id: [
            Detection(region["label"], box_of(region), 1.0 if region["score"] is None else region["score"])
            for region in kept.get(image_id, {}).get("regions", ())
            if region["kind"] == "object"
        ]
        for image_id in wanted
    }
