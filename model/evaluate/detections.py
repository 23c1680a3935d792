"""Human objects and detections, the input for the measures of boxes.

Boxes are x1, y1, x2, y2 in pixels of the upright image. Labels are compared without regard to case, accents and spaces.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from engine.errors import EngineError
from engine.records.boxes import Box
from model.evaluate.resampling import Floats, Ints


@dataclass(frozen=True, slots=True)
class Truth:
    """One human object. `crowd`: the box surrounds many objects; detections in it are ignored.

    `area`, in pixels, decides whether an object is small, medium or large. None means the area of the mask, or that of
    the box if there is no mask. A box is larger than its mask, so figures by size cannot be compared with COCO's if
    there are no masks.
    """

    label: str
    box: Box
    rle: str = ""
    crowd: bool = False
    area: float | None = None


@dataclass(frozen=True, slots=True)
class Detection:
    label: str
    box: Box
    score: float
    rle: str = ""


@dataclass(frozen=True, slots=True)
class TruthImage:
    width: int
    height: int
    objects: Sequence[Truth] = ()


@dataclass(frozen=True, slots=True)
class Detections:
    """The detections of many images as columns, with a row for each box. Boxes of an image are in their given order.

    images: the names of all images with predictions, also of those without boxes. image, label: for each box, its row
    in `images` and in `labels`. boxes: n x 4. rles: the masks, '' for none; empty if no box has a mask.
    """

    images: Sequence[str]
    labels: Sequence[str]
    image: Ints
    label: Ints
    boxes: Floats
    scores: Floats
    rles: Sequence[str] = ()

    def __len__(self) -> int:
        return len(self.image)

    def take(self, rows: Ints) -> Detections:
        """Only these boxes. `images` stays the same."""
        rles = [self.rles[row] for row in rows.tolist()] if self.rles else ()
        image, label = self.image[rows], self.label[rows]
        return Detections(self.images, self.labels, image, label, self.boxes[rows], self.scores[rows], rles)

    def ordered(self, images: Sequence[str]) -> Detections:
        """The detections in these images, image by image. Other images are left out."""
        number = {name: k for k, name in enumerate(images)}
        image = np.array([number.get(name, -1) for name in self.images], np.int64)[self.image]
        order = np.argsort(image, kind="stable")
        some = self.take(order[np.searchsorted(image[order], 0) :])
        return replace(some, images=images, image=np.sort(image[image >= 0]))

    def by_image(self) -> dict[str, list[Detection]]:
        found: dict[str, list[Detection]] = {name: [] for name in self.images}
        rles = self.rles or [""] * len(self)
        columns = (self.image.tolist(), self.label.tolist(), self.boxes.tolist(), self.scores.tolist(), rles)
        for image, label, box, score, rle in zip(*columns, strict=True):
            found[self.images[image]].append(Detection(self.labels[label], tuple(box), score, rle))
        return found


Found = Detections | Mapping[str, Sequence[Detection]]  # the second is {image: detections}


def as_columns(found: Found) -> Detections:
    if isinstance(found, Detections):
        return found
    flat = [one for some in found.values() for one in some]
    numbers: dict[str, int] = {}
    label = np.array([numbers.setdefault(one.label, len(numbers)) for one in flat], np.int64)
    boxes = np.array([one.box for one in flat], np.float64).reshape(-1, 4)
    scores = np.array([one.score for one in flat], np.float64)
    image = np.repeat(np.arange(len(found)), [len(some) for some in found.values()])
    rles = [one.rle for one in flat] if any(one.rle for one in flat) else ()
    return Detections(list(found), list(numbers), image, label, boxes, scores, rles)


def check_known_images(truth: Iterable[str], found: Iterable[str]) -> None:
    """Raises EngineError if there are predictions for images without truth, because these cannot be judged."""
    strange = sorted(set(found) - set(truth))
    if strange:
        raise EngineError(
            f"There are predictions for {len(strange)} images without truth, such as '{strange[0]}': leave them out."
        )
