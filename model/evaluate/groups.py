"""True and found boxes of many images as columns, in groups: only boxes of the same image and label can match."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from engine.records.labels import plain_label
from model.evaluate.detections import Detections, Truth
from model.evaluate.resampling import Bools, Floats, Ints


class Labels:
    """Numbers for the labels of the truth, which are sorted. With `distinct=False`, all labels are one."""

    def __init__(self, labels: Iterable[str], *, distinct: bool = True) -> None:
        self.distinct = distinct
        self.names = sorted({plain_label(label) for label in set(labels)}) if distinct else ["any"]

    def of(self, labels: Sequence[str]) -> Ints:
        """The number of each label; -1 if the truth lacks it."""
        if not self.distinct:
            return np.zeros(len(labels), np.int64)
        number = {name: k for k, name in enumerate(self.names)}
        known = {label: number.get(plain_label(label), -1) for label in set(labels)}
        return np.array([known[label] for label in labels], np.int64)


@dataclass(frozen=True, slots=True)
class Groups:
    """True or found boxes as columns, ordered by group.

    group: label x images + image. rank: the place in the group, from 0 on; found boxes are ordered by score. size: x,
    y, width, height. row: where the box is in the given order.
    """

    images: int
    group: Ints
    rank: Ints
    row: Ints
    size: Floats
    area: Floats
    crowd: Bools
    score: Floats

    def __len__(self) -> int:
        return len(self.group)

    @property
    def image(self) -> Ints:
        return self.group % max(1, self.images)

    def take(self, keep: Bools) -> Groups:
        group, rank, row, size = self.group[keep], self.rank[keep], self.row[keep], self.size[keep]
        return Groups(self.images, group, rank, row, size, self.area[keep], self.crowd[keep], self.score[keep])

    def of_label(self, label: int) -> slice:
        start, stop = np.searchsorted(self.group, [label * self.images, (label + 1) * self.images]).tolist()
        return slice(start, stop)


def true_boxes(
    truth: Sequence[Sequence[Truth]], labels: Labels, *, area: Floats | None = None, crowd: Bools | None = None
) -> Groups:
    """The objects of each image. area, crowd: for each object; by default the area of the box, and as it says."""
    objects = [thing for some in truth for thing in some]
    image = np.repeat(np.arange(len(truth)), [len(some) for some in truth])
    group = labels.of([thing.label for thing in objects]) * len(truth) + image
    corners = np.array([thing.box for thing in objects], np.float64).reshape(-1, 4)
    crowd = np.array([thing.crowd for thing in objects], np.bool_) if crowd is None else crowd
    area = np.prod(corners[:, 2:] - corners[:, :2], axis=1) if area is None else area
    order = np.argsort(group, kind="stable")
    return _ordered(len(truth), order, group, corners, area, crowd, np.ones(len(objects)))


def found_boxes(found: Detections, labels: Labels, *, area: Floats | None = None) -> Groups:
    group = labels.of(found.labels)[found.label] * len(found.images) + found.image
    corners = found.boxes
    area = np.prod(corners[:, 2:] - corners[:, :2], axis=1) if area is None else area
    order = np.lexsort((-found.scores, group))
    return _ordered(len(found.images), order, group, corners, area, np.zeros(len(found), np.bool_), found.scores)


def _ordered(
    images: int, order: Ints, group: Ints, corners: Floats, area: Floats, crowd: Bools, score: Floats
) -> Groups:
    group, size = group[order], corners[order]
    size[:, 2:] -= size[:, :2]
    rank = np.arange(len(group)) - np.searchsorted(group, group)
    return Groups(images, group, rank, order, size, area[order], crowd[order], score[order])
