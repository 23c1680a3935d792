"""Human objects and detections, the input for the measures of boxes.

Boxes are x1, y1, x2, y2 in pixels of the upright image. Labels are compared without regard to case, accents and spaces.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from engine.errors import EngineError
from engine.records.boxes import Box


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


def check_known_images(truth: Iterable[str], found: Mapping[str, object]) -> None:
    """Raises EngineError if there are predictions for images without truth, because these cannot be judged."""
    strange = sorted(found.keys() - set(truth))
    if strange:
        raise EngineError(
            f"There are predictions for {len(strange)} images without truth, such as '{strange[0]}': leave them out."
        )
