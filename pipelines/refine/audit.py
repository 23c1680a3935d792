"""Measures, for the gate, how a round changes the labels of audit images.

On the way to a release, only this code reads the human labels in `truth/`. It returns counts and figures, but no label.
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

Side = tuple[Sequence[Node], Node]  # the nodes of a data set, and its judge
FIGURE = "brief CIDEr-D"


def audited(
    storage: Storage, before: Side, after: Side, split: str = "audit-fit", *, texts: bool = False
) -> Audit | None:
    """Measures the data set before and after a round, against the audit images of `split`.

    `texts`: whether to measure captions too. Returns None if the audit images have no human boxes and, with `texts`, no
    human captions either.
    """
    sides = [dataset_of(storage, *side) for side in (before, after)]
    try:
        truth = audit_truth(sides[0], split)
    except ConfigError:
        return None
    objects = truth.objects if any(image.objects for image in truth.objects.values()) else {}
    captioned = [name for name, captions in truth.captions.items() if captions] if texts else []
    if not objects and not captioned:
        return None
    kept = [records(side, {*objects, *captioned})[1] for side in sides]
    figures = {FIGURE: (_cider(kept[0], truth), _cider(kept[1], truth))} if captioned else {}
    return audit(objects, _objects(kept[0], objects), _objects(kept[1], objects), figures)


def dataset_of(storage: Storage, nodes: Sequence[Node], judge: Node) -> Dataset:
    """The data set that consists of these nodes. current.json is not read."""
    made = [
        CurrentNode(node.name, node.key, node.folder, over=node.over, columns=tuple(record_columns(node, nodes)))
        for node in nodes
        if node.over != "texts"
    ]
    return Dataset(storage, made, judge.folder, "")


def _objects(kept: Rows, wanted: Mapping[str, object]) -> Mapping[str, list[Detection]]:
    """{image id: its kept boxes}. A dropped image has none."""
    return {
        image_id: [
            Detection(region["label"], row_box(region), 1.0 if region["score"] is None else region["score"])
            for region in kept.get(image_id, {}).get("regions", ())
            if region["kind"] == "object"
        ]
        for image_id in wanted
    }


def _cider(kept: Rows, truth: Truths) -> npt.NDArray[np.float64]:
    """For each image with human captions, sorted by image id: the mean CIDEr-D of its kept brief texts by models.

    An image without such a text has 0.
    """
    texts = {
        image_id: [
            text["text"]
            for text in kept.get(image_id, {}).get("texts", ())
            if text["granularity"] == "brief" and text["score"] is not None
        ]
        for image_id, captions in truth.captions.items()
        if captions
    }
    total: npt.NDArray[np.float64] = np.zeros(len(texts))
    for number in range(max(map(len, texts.values()))):
        nth = {image_id: some[number] for image_id, some in texts.items() if number < len(some)}
        there = np.array([number < len(texts[image_id]) for image_id in sorted(texts)])
        total += np.where(there, measure_captions(truth.captions, nth).cider, 0.0)
    return total / np.maximum([len(texts[image_id]) for image_id in sorted(texts)], 1)
