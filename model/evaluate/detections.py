"""What boxes are measured by: what people drew in an image, and what was found there.

Boxes are x1, y1, x2, y2 in pixels of the upright image. Labels are compared without regard to case, accents and
spaces.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from engine.errors import EngineError
from engine.records.boxes import Box


@dataclass(frozen=True, slots=True)
class Truth:
    """`crowd`: one outline around many; whatever is found in it is neither right nor wrong.

    `area` in pixels decides whether an object is small, medium or large. Without it the mask's counts, without a
    mask the box's, which is larger: figures by size of data without masks do not compare with COCO's.
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


def in_known_images(truth: Iterable[str], found: Mapping[str, object]) -> None:
    """EngineError for a prediction of an image without truth: counted as wrong it would be a lie."""
    strange = sorted(found.keys() - set(truth))
    if strange:
        raise EngineError(
            f"There are predictions of {len(strange)} images without truth, the first '{strange[0]}': leave them out."
        )
