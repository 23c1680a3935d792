"""The measures by which a round is judged. They are counts for each image, so that a bootstrap can resample the
images.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from engine.records.labels import plain_label
from model.evaluate.detections import Detection, Truth, TruthImage, check_known_images
from model.evaluate.matching import matched
from model.evaluate.resampling import Bools, Floats, Ints, resampled_ratios
from model.evaluate.tokens import tokens
from refinement.match import paired


@dataclass(frozen=True, slots=True)
class Counted:
    """Counts for each image, sorted by the image's name. labels: boxes of the labels. found: boxes found. right: found
    boxes that are right.
    """

    labels: Ints
    found: Ints
    right: Ints

    @property
    def f1(self) -> float:
        """The F1 over all images; 0 if there are no boxes on either side."""
        both = int(self.labels.sum() + self.found.sum())
        return 2 * int(self.right.sum()) / both if both else 0.0

    def resampled(self, counts: Ints) -> Floats:
        return resampled_ratios(2 * self.right, self.labels + self.found, counts)


def agreement(
    labels: Mapping[str, Sequence[Truth]], found: Mapping[str, Sequence[Detection]], *, iou: float = 0.5
) -> Counted:
    """Counts how many of the found boxes agree with the labels, in all images of `labels`. Boxes are matched one to
    one: their labels must be equal and their IoU at least `iou`.
    """
    check_known_images(labels, found)
    rows = []
    for name in sorted(labels):
        some = found.get(name, ())
        right, ignored = matched(labels[name], some, iou=iou)
        solid = sum(not one.crowd for one in labels[name])
        rows.append((solid, len(some) - int(ignored.sum()), int(right.sum())))
    table = np.array(rows, np.int64).reshape(-1, 3)
    return Counted(table[:, 0], table[:, 1], table[:, 2])


@dataclass(frozen=True, slots=True)
class Named:
    """The label that annotations give to each true object. Crowds are left out.

    labels: all true labels, plain and sorted. images: the number of images. label, image: for each object, its row in
    `labels` and in the sorted image names. called: for each object, the label of the matching box; '' if no box
    matches.
    """

    labels: tuple[str, ...]
    images: int
    label: Ints
    image: Ints
    called: tuple[str, ...]

    @property
    def seen(self) -> Bools:
        return np.array([name != "" for name in self.called], np.bool_)

    @property
    def right(self) -> Bools:
        pairs = zip(self.label.tolist(), self.called, strict=True)
        return np.array([self.labels[row] == name for row, name in pairs], np.bool_)

    def by_image(self, which: Bools) -> Ints:
        """The number of selected objects in each image. `which`: for each object, whether it is selected."""
        return np.bincount(self.image[which], minlength=self.images)


def named(truth: Mapping[str, TruthImage], found: Mapping[str, Sequence[Detection]], *, iou: float = 0.5) -> Named:
    """Matches true objects and boxes one to one, regardless of labels, and returns the label of each object's box. A
    match needs an IoU of at least `iou`.
    """
    check_known_images(truth, found)
    images, true, called = list[int](), list[str](), list[str]()
    for image, name in enumerate(sorted(truth)):
        objects = [one for one in truth[name].objects if not one.crowd]
        boxes = found.get(name, ())
        names = [plain_label(one.label) for one in objects], [plain_label(one.label) for one in boxes]
        pairs = paired([one.box for one in objects], [one.box for one in boxes], names, iou=iou)
        images += [image] * len(objects)
        true += names[0]
        called += [(names[1][pairs[row]] or "?") if row in pairs else "" for row in range(len(objects))]
    labels, rows = np.unique(true, return_inverse=True) if true else (np.zeros(0, str), np.zeros(0))
    where = np.array(images, np.int64)
    return Named(tuple(map(str, labels)), len(truth), rows.astype(np.int64), where, tuple(called))


@dataclass(frozen=True, slots=True)
class Audit:
    """The annotations of audit images before and after a round, measured against labels by people.

    f1: {IoU: (before, after)}. F1 is used because average precision ranks boxes by score, and scores of several models
    are on different scales. texts: {name of a text measure, such as CIDEr-D: (before, after)}, with one number for each
    image that has a caption; higher is better.
    """

    images: int
    f1: Mapping[float, tuple[Counted, Counted]]
    named: tuple[Named, Named]
    texts: Mapping[str, tuple[Floats, Floats]]


def audit(
    truth: Mapping[str, TruthImage],
    before: Mapping[str, Sequence[Detection]],
    after: Mapping[str, Sequence[Detection]],
    texts: Mapping[str, tuple[Floats, Floats]] | None = None,
) -> Audit:
    objects = {name: image.objects for name, image in truth.items()}
    f1 = {iou: (agreement(objects, before, iou=iou), agreement(objects, after, iou=iou)) for iou in (0.5, 0.75)}
    return Audit(len(truth), f1, (named(truth, before), named(truth, after)), texts or {})


OF_REGIONS = ("added", "dropped", "duplicate", "relabelled")
OF_TEXTS = ("rewritten", "text_added", "text_dropped")


def changed_share(changes: Mapping[str, int], given: int) -> float:
    """The number of changed regions as a share of the given regions. Moved boxes do not count, because nearly every box
    moves a little in each round.
    """
    return sum(changes.get(rule, 0) for rule in OF_REGIONS) / max(given, 1)


def distinct_share(texts: Iterable[str], n: int = 2) -> float:
    """The share of word n-grams that are distinct; NaN if there are no n-grams. Compare only collections with equally
    many texts, because a larger collection repeats more.
    """
    grams: set[tuple[str, ...]] = set()
    total = 0
    for text in texts:
        words = tokens(text)
        for at in range(len(words) - n + 1):
            grams.add(tuple(words[at : at + n]))
            total += 1
    return len(grams) / total if total else float("nan")
