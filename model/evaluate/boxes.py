"""COCO average precision and recall of boxes and masks. They are computed in memory with COCOeval from pycocotools.

Images are sorted by name, which decides the rank of equal scores in different images. A figure that does not exist,
such as the AP of small objects if there are none, is NaN (COCO uses -1).
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.records import masks as rle_masks
from engine.records.boxes import area, corners_of
from engine.records.labels import plain_label
from model.evaluate.detections import Detection, Truth, TruthImage, check_known_images
from model.evaluate.resampling import Bools, Floats, Ints

FIGURES = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl")
RECALLS = np.linspace(0.0, 1.0, 101)
_CHUNK = 1 << 22  # resamples x detections computed at once: about 100 MB


@dataclass(frozen=True, slots=True)
class BoxMeasure:
    """The figures of one measurement. `truths`: number of true objects, without crowds. `predictions`: number of
    detections.

    Detections with a label that the truth never uses are counted in `predictions`, but change no figure (COCO's rule).
    """

    figures: dict[str, float]
    ap50_by_label: dict[str, float]
    images: int
    truths: int
    predictions: int
    ranked: Sequence[Ranked]

    def resampled(self, counts: Ints) -> dict[str, Floats]:
        """AP and AP50 of each resample. A row of `counts` is one resample: how often each image was drawn, sorted by
        name.

        A label counts only in resamples that contain objects with it. This biases resampled AP upwards, by 0.02 for 90
        photos with 80 labels. The bias of differences is much smaller.
        """
        each = [ranked.average_precision(counts) for ranked in self.ranked]  # labels of resamples x IoU thresholds
        if not each:
            nothing = np.full(len(counts), np.nan)
            return {"AP": nothing, "AP50": nothing.copy()}
        stacked = np.array(each)
        return {"AP": _known_mean(stacked.mean(axis=2)), "AP50": _known_mean(stacked[:, :, 0])}


@dataclass(frozen=True, slots=True)
class Ranked:
    """COCOeval's matches for one label, highest score first.

    `image`: row of each detection's image. `right`, `counted`: IoU thresholds x detections. `positives`: number of
    objects in each image.
    """

    image: Ints
    right: Bools
    counted: Bools
    positives: Ints

    def average_precision(self, counts: Ints) -> Floats:
        """AP, resamples x IoU thresholds, as COCOeval.accumulate gives it for repeated images.

        There is one difference. If an image is drawn twice, detections with equal scores keep their order here, while
        COCOeval interleaves them.
        """
        step = max(1, _CHUNK // max(1, len(self.image)))
        return np.concatenate([self._of_some(counts[at : at + step]) for at in range(0, len(counts), step)])

    def _of_some(self, counts: Ints) -> Floats:
        end = int(np.flatnonzero(self.right.any(axis=0))[-1]) + 1 if self.right.any() else 0
        drawn = counts.astype(np.int32)[:, self.image[:end]]
        total = counts @ self.positives
        seen: dict[
            bytes, Any
        ] = {}  # caches the expensive part, which is equal for all thresholds if there are no crowds
        columns = []
        for right, counted in zip(self.right[:, :end], self.counted[:, :end], strict=True):
            key = counted.tobytes()
            if key not in seen:
                seen = {key: np.cumsum(drawn * counted, axis=1, dtype=np.int32)}
            hits = np.flatnonzero(right)
            found = np.cumsum(drawn[:, hits], axis=1, dtype=np.int32)
            columns.append(_one_threshold(found, seen[key][:, hits], total))
        return np.column_stack(columns)


def _one_threshold(found: Any, seen: Any, total: Ints) -> Floats:
    """AP at one IoU threshold, for each resample. `found`: right detections up to each right one. `seen`: all
    detections up to each right one. `total`: true objects. Recall rises only at right detections, so the curve needs no
    other points.
    """
    precision = found / (seen + np.spacing(1))
    best_from_here = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    with np.errstate(invalid="ignore", divide="ignore"):
        reached = np.searchsorted(RECALLS, found / total[:, None], side="right")
    gained = np.diff(reached, axis=1, prepend=0)
    answer: Floats = (best_from_here * gained).sum(axis=1) / len(RECALLS)
    answer[total == 0] = np.nan
    return answer


def measure_boxes(
    truth: Mapping[str, TruthImage],
    found: Mapping[str, Sequence[Detection]],
    *,
    masks: bool = False,
    labels: bool = True,
) -> BoxMeasure:
    """The twelve COCO figures over all images of `truth`. `labels=False` treats all labels as one class.

    With `masks`, detections without a mask are left out. An object without a mask then counts as a crowd whose mask is
    its box, so detections there are ignored.
    """
    check_known_images(truth, found)
    data = _Coco(truth, found, masks=masks, labels=labels)
    measure = _evaluated(data, masks)
    ranked = _ranked(measure)
    once = np.ones((1, len(data.names)), np.int64)
    ap50 = {name: float(one.average_precision(once)[0, 0]) for name, one in zip(data.labels, ranked, strict=True)}
    return BoxMeasure(
        figures={name: float(v) if v > -1 else float("nan") for name, v in zip(FIGURES, measure.stats, strict=True)},
        ap50_by_label=ap50 if labels else {},
        images=len(data.names),
        truths=sum(not thing["iscrowd"] for thing in data.things),
        predictions=sum(len(some) for some in found.values()),
        ranked=ranked,
    )


class _Coco:
    """Truth and detections as COCO's dictionaries. Ids start at 1, because COCOeval treats id 0 as no match."""

    def __init__(
        self, truth: Mapping[str, TruthImage], found: Mapping[str, Sequence[Detection]], *, masks: bool, labels: bool
    ) -> None:
        self.names = sorted(truth)
        self.sizes = [(truth[name].width, truth[name].height) for name in self.names]
        plain = {t.label for image in truth.values() for t in image.objects}
        self.labels = sorted({plain_label(label) for label in plain}) if labels else ["any"]
        number = {label: k for k, label in enumerate(self.labels, 1)}
        self.things: list[dict[str, Any]] = []
        self.results: list[dict[str, Any]] = []
        category: dict[str, int] = {}
        for k, name in enumerate(self.names, 1):
            image = truth[name]
            for thing in image.objects:
                row = {"id": len(self.things) + 1, "image_id": k, **_truth_row(thing, image, masks)}
                row["category_id"] = number[plain_label(thing.label)] if labels else 1
                self.things.append(row)
            for one in found.get(name, ()):
                if one.label not in category:
                    category[one.label] = number.get(plain_label(one.label), 0) if labels else 1
                if category[one.label] and (one.rle or not masks):
                    row = {"id": len(self.results) + 1, "image_id": k, "category_id": category[one.label]}
                    self.results.append(row | _result_row(one, image, masks))

    def dataset(self, annotations: list[dict[str, Any]]) -> Any:
        from pycocotools.coco import COCO

        coco = COCO()
        images = [{"id": k, "width": w, "height": h} for k, (w, h) in enumerate(self.sizes, 1)]
        categories = [{"id": k, "name": label} for k, label in enumerate(self.labels, 1)]
        coco.dataset = {"images": images, "categories": categories, "annotations": annotations}
        coco.createIndex()
        return coco


def _truth_row(thing: Truth, image: TruthImage, masks: bool) -> dict[str, Any]:
    x1, y1, x2, y2 = thing.box
    row: dict[str, Any] = {"bbox": [x1, y1, x2 - x1, y2 - y1], "iscrowd": int(thing.crowd)}
    size = thing.area
    if size is None:
        size = rle_masks.area(thing.rle, width=image.width, height=image.height) if thing.rle else area(thing.box)
    if masks:
        row["segmentation"] = {"size": [image.height, image.width], "counts": thing.rle or _box_mask(thing, image)}
        row["iscrowd"] = int(thing.crowd or not thing.rle)
    return row | {"area": size}


def _result_row(one: Detection, image: TruthImage, masks: bool) -> dict[str, Any]:
    x1, y1, x2, y2 = one.box
    row: dict[str, Any] = {"bbox": [x1, y1, x2 - x1, y2 - y1], "score": one.score, "iscrowd": 0}
    if not masks:
        return row | {"area": area(one.box)}
    size = rle_masks.area(one.rle, width=image.width, height=image.height)
    return row | {"area": size, "segmentation": {"size": [image.height, image.width], "counts": one.rle}}


def _box_mask(thing: Truth, image: TruthImage) -> str:
    return rle_masks.from_polygons([corners_of(thing.box)], width=image.width, height=image.height)


def _evaluated(data: _Coco, masks: bool) -> Any:
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):
        measure = COCOeval(data.dataset(data.things), data.dataset(data.results), "segm" if masks else "bbox")
        measure.evaluate()
        measure.accumulate()
        measure.summarize()
    return measure


def _ranked(measure: Any) -> list[Ranked]:
    """COCOeval's matches for each label, over objects of all sizes."""
    images, sizes = len(measure.params.imgIds), len(measure.params.areaRng)
    thresholds = len(measure.params.iouThrs)
    answer = []
    for at in range(0, len(measure.evalImgs), max(1, images * sizes)):
        some = [(k, e) for k, e in enumerate(measure.evalImgs[at : at + images]) if e is not None]
        scores = np.concatenate([np.zeros(0), *(e["dtScores"] for _, e in some)])
        order = np.argsort(-scores, kind="mergesort")
        image = np.repeat([k for k, _ in some], [len(e["dtScores"]) for _, e in some]).astype(np.int64)
        blank = np.zeros((thresholds, 0), np.bool_)
        matched = np.concatenate([blank, *(e["dtMatches"] > 0 for _, e in some)], axis=1)[:, order]
        ignored = np.concatenate([blank, *(e["dtIgnore"].astype(np.bool_) for _, e in some)], axis=1)[:, order]
        positives = np.zeros(images, np.int64)
        for k, e in some:
            positives[k] = np.count_nonzero(e["gtIgnore"] == 0)
        answer.append(Ranked(image[order], matched & ~ignored, ~ignored, positives))
    return answer


def _known_mean(values: Floats) -> Floats:
    """The mean over the labels of which a resample contains objects; NaN if there are none."""
    known = np.isfinite(values)
    with np.errstate(invalid="ignore"):
        mean: Floats = np.where(known, values, 0.0).sum(axis=0) / known.sum(axis=0)
    return mean
