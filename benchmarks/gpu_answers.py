"""Whether two answers to one image are the same within what another device, or another batch, may change.

With random weights many scores are nearly equal, so the order of annotations may differ: each is looked for among all
of the other answer. Tolerances: boxes and masks by IoU, scores and values by their difference, vectors by their cosine;
labels and texts must be equal.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from engine.records.boxes import box_of, iou
from engine.records.masks import mask_iou
from engine.schema import Answer, ImageScore, Region, Sample

Alike = Callable[[Any, Any, Sample], bool]
IOU, SCORE, COSINE = 0.97, 0.02, 0.999


def same_answers(samples: Sequence[Sample], reference: Sequence[Answer], answers: Sequence[Answer]) -> tuple[int, int]:
    """(annotations that both have, annotations of the side that has more), over all images."""
    same = total = 0
    for sample, one, other in zip(samples, reference, answers, strict=True):
        for column, alike in _ALIKE.items():
            first, second = list(getattr(one, column)), list(getattr(other, column))
            same += _matched(first, second, alike, sample)
            total += max(len(first), len(second))
        if one.embedding is not None or other.embedding is not None:
            same += _same_vector(one.embedding, other.embedding)
            total += 1
    return same, total


def _matched(first: list[Any], second: list[Any], alike: Alike, sample: Sample) -> int:
    """How many of the first have one of the second that no other has."""
    left, found = list(second), 0
    for one in first:
        partner = next((number for number, other in enumerate(left) if alike(one, other, sample)), -1)
        if partner >= 0:
            left.pop(partner)
            found += 1
    return found


def _near(one: float | None, other: float | None) -> bool:
    return one == other or (one is not None and other is not None and abs(one - other) <= SCORE * max(1.0, abs(one)))


def _same_region(one: Region, other: Region, sample: Sample) -> bool:
    if one.label != other.label or not _near(one.score, other.score) or bool(one.rle) != bool(other.rle):
        return False
    if iou(box_of(one), box_of(other)) < IOU:
        return False
    return one.rle == other.rle or mask_iou(one.rle, other.rle, width=sample.width, height=sample.height) >= IOU


def _same_score(one: ImageScore, other: ImageScore, _: Sample) -> bool:
    return (one.name, one.code, one.parents) == (other.name, other.code, other.parents) and _near(
        one.value, other.value
    )


def _same_text(one: Any, other: Any, _: Sample) -> bool:
    return bool(one.text == other.text) and _near(one.score, other.score)


def _same_tag(one: Any, other: Any, _: Sample) -> bool:
    return bool(one.label == other.label) and _near(one.score, other.score)


def _same_vector(one: Any, other: Any) -> bool:
    return one is not None and other is not None and float(np.dot(one, other)) >= COSINE


_ALIKE: dict[str, Alike] = {
    "texts": _same_text,
    "regions": _same_region,
    "region_texts": _same_text,
    "tags": _same_tag,
    "image_scores": _same_score,
}
