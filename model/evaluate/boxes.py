"""COCO average precision and recall of boxes and masks: the figures of pycocotools' COCOeval, to the last bit if its
categories are in the order of their names.

They are computed on columns, because COCOeval, with its dictionaries and loops, takes minutes for some thousand images
and gives no matches to resample. Images are sorted by name, which decides the rank of equal scores in different images.
A figure that does not exist, such as the AP of small objects if there are none, is NaN (COCO uses -1).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.records import masks as rle_masks
from engine.records.boxes import area, corners_of
from model.evaluate.coco_figures import FIGURES, MOST, SIZES, THRESHOLDS, judge_matches
from model.evaluate.detections import Detections, Found, Truth, TruthImage, as_columns, check_known_images
from model.evaluate.groups import Groups, Labels, found_boxes, true_boxes
from model.evaluate.matching import Overlap, box_iou, match
from model.evaluate.ranked import Ranked, blocks
from model.evaluate.resampling import Floats, Ints

Mask = dict[str, Any]  # a run-length encoding, as pycocotools has it
__all__ = ["FIGURES", "BoxMeasure", "measure_boxes"]


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
        drawn = blocks(counts)
        each = [ranked.of_blocks(drawn) for ranked in self.ranked]  # labels of resamples x IoU thresholds
        if not each or not drawn:
            nothing = np.full(len(counts), np.nan)
            return {"AP": nothing, "AP50": nothing.copy()}
        stacked = np.array(each)
        return {"AP": _known_mean(stacked.mean(axis=2)), "AP50": _known_mean(stacked[:, :, 0])}


def measure_boxes(
    truth: Mapping[str, TruthImage], found: Found, *, masks: bool = False, labels: bool = True
) -> BoxMeasure:
    """The twelve COCO figures over all images of `truth`. `labels=False` treats all labels as one class.

    With `masks`, detections without a mask are left out. An object without a mask then counts as a crowd whose mask is
    its box, so detections there are ignored.
    """
    given = as_columns(found)
    check_known_images(truth, given.images)
    images = [truth[name] for name in sorted(truth)]
    used = Labels((thing.label for image in images for thing in image.objects), distinct=labels)
    known = given.take(np.flatnonzero(used.of(given.labels)[given.label] >= 0)).ordered(sorted(truth))
    boxes, true, overlap = (_masks if masks else _boxes)(images, known, used)
    judged = judge_matches(
        len(used.names), boxes, true, match(boxes, true, overlap, thresholds=THRESHOLDS, sizes=SIZES)
    )
    return BoxMeasure(
        figures=judged.figures(),
        ap50_by_label=dict(zip(used.names, judged.ap50(), strict=True)) if labels else {},
        images=len(images),
        truths=int((~true.crowd).sum()),
        predictions=len(given),
        ranked=judged.ranked,
    )


def _boxes(images: Sequence[TruthImage], found: Detections, labels: Labels) -> tuple[Groups, Groups, Overlap]:
    area = np.array([_area(thing, image) for image in images for thing in image.objects], np.float64)
    true, boxes = true_boxes([image.objects for image in images], labels, area=area), found_boxes(found, labels)
    boxes = boxes.take(boxes.rank < MOST[-1])
    return boxes, true, box_iou(boxes, true)


def _area(thing: Truth, image: TruthImage) -> float:
    if thing.area is not None:
        return thing.area
    return rle_masks.area(thing.rle, width=image.width, height=image.height) if thing.rle else area(thing.box)


def _masks(images: Sequence[TruthImage], found: Detections, labels: Labels) -> tuple[Groups, Groups, Overlap]:
    outlined = found.take(np.flatnonzero([bool(rle) for rle in found.rles] or np.zeros(len(found), np.bool_)))
    of = [images[k] for k in outlined.image.tolist()]
    size = [
        rle_masks.area(rle, width=image.width, height=image.height)
        for rle, image in zip(outlined.rles, of, strict=True)
    ]
    boxes = found_boxes(outlined, labels, area=np.array(size, np.float64))
    boxes = boxes.take(boxes.rank < MOST[-1])
    things = [(thing, image) for image in images for thing in image.objects]
    area = np.array([_area(*one) for one in things], np.float64)
    crowd = np.array([thing.crowd or not thing.rle for thing, _ in things], np.bool_)
    true = true_boxes([image.objects for image in images], labels, area=area, crowd=crowd)
    masks = [_mask(thing.rle or _box_mask(thing, image), image) for thing, image in things]
    return boxes, true, _mask_iou(boxes, true, [_mask(*one) for one in zip(outlined.rles, of, strict=True)], masks)


def _mask(rle: str, image: TruthImage) -> Mask:
    return {"size": [image.height, image.width], "counts": rle.encode("ascii")}


def _box_mask(thing: Truth, image: TruthImage) -> str:
    return rle_masks.from_polygons([corners_of(thing.box)], width=image.width, height=image.height)


def _mask_iou(found: Groups, true: Groups, masks: Sequence[Mask], true_masks: Sequence[Mask]) -> Overlap:
    """IoU of masks, by pycocotools group by group. masks, true_masks: in the given order of the boxes."""
    from pycocotools import mask

    def overlap(a: Ints, b: Ints) -> Floats:
        iou = np.zeros(len(a))
        group = found.group[a]
        for pairs in np.split(np.arange(len(a)), np.flatnonzero(group[1:] != group[:-1]) + 1):
            (mine, row), (things, column) = (np.unique(some[pairs], return_inverse=True) for some in (a, b))
            of_group = mask.iou(
                [masks[k] for k in found.row[mine].tolist()],
                [true_masks[k] for k in true.row[things].tolist()],
                true.crowd[things].astype(int).tolist(),
            )
            iou[pairs] = of_group[row, column] if len(pairs) else 0.0
        return iou

    return overlap


def _known_mean(values: Floats) -> Floats:
    """The mean over the labels of which a resample contains objects; NaN if there are none."""
    known = np.isfinite(values)
    with np.errstate(invalid="ignore"):
        mean: Floats = np.where(known, values, 0.0).sum(axis=0) / known.sum(axis=0)
    return mean
