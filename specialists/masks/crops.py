"""Code shared by all mask specialists: choosing the regions that get a mask, cropping a region, and running GrabCut on
the crop.

Each region is cropped with a margin and shrunk, so its mask does not depend on the other images of the batch. A mask
never reaches outside its box.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine.records import masks
from engine.records.boxes import area, box_of
from engine.schema import Answer, Region, Sample
from specialists.pixels import Pixels, pixels_of

Mask = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float32]

_CORE = 0.1  # squared distance from the centre of the box, where half a side is 1


@dataclass(frozen=True, slots=True)
class Selection:
    """Chooses the regions of an image that get a mask: the best `max_regions` of the suitable ones.

    A region is suitable if it has no mask, is not printed text, was not merged into another, has a score of at least
    `min_score`, has sides of at least `min_side` pixels, and covers at most `max_area` of the image.
    """

    max_regions: int
    min_score: float
    min_side: float
    max_area: float

    def regions(self, sample: Sample) -> list[Region]:
        """The chosen regions, best first. Human regions have no score and come before all others."""
        largest = self.max_area * sample.width * sample.height
        fit = [
            region
            for region in sample.regions
            if region.kind != "text"
            and not region.rle
            and not region.merged_into
            and (region.score is None or region.score >= self.min_score)
            and min(region.x2 - region.x1, region.y2 - region.y1) >= self.min_side
            and area(box_of(region)) <= largest
        ]
        return sorted(fit, key=lambda region: -2.0 if region.score is None else -region.score)[: self.max_regions]


@dataclass(frozen=True, slots=True)
class Outline:
    """A mask of the whole image, and the IoU that it is expected to have with the true mask."""

    rle: str
    expected_iou: float


def add_masks(
    batch: Sequence[Sample], selection: Selection, outline: Callable[[Pixels, Region], Outline | None]
) -> list[Answer]:
    """One answer for each sample, in the same order. It has a region with box and mask for each selected region.
    `outline` returns None for a region whose mask would not be good enough.
    """
    return [_masks_of(sample, selection, outline) for sample in batch]


def _masks_of(sample: Sample, selection: Selection, outline: Callable[[Pixels, Region], Outline | None]) -> Answer:
    answer, pixels = Answer(), pixels_of(sample)
    for region in selection.regions(sample):
        found = outline(pixels, region)
        if found is not None:
            answer.regions.append(_masked(region, found, str(len(answer.regions))))
    return answer


def _masked(region: Region, outline: Outline, local_id: str) -> Region:
    """A region with the box and the mask. Its score is the region's score (1 for a human region) times the expected
    IoU.
    """
    score = min(1.0, max(0.0, outline.expected_iou)) * (1.0 if region.score is None else region.score)
    mask = Region(region.x1, region.y1, region.x2, region.y2, region.label, rle=outline.rle, merged_into=region.id)
    mask.id, mask.score, mask.score_kind, mask.parents = local_id, score, "mask_iou", [region.id]
    return mask


@dataclass(frozen=True, slots=True)
class Crop:
    """A region with a margin around it. `pixels`: the crop. `box`: rows and columns of the region in `pixels`.
    `in_image`: rows and columns of the region in the image.
    """

    pixels: Pixels
    box: tuple[slice, slice]
    in_image: tuple[slice, slice]

    def shrink(self, side: int) -> Crop:
        """A copy whose longer side has at most `side` pixels. `in_image` stays the same."""
        import cv2

        height, width = self.pixels.shape[:2]
        scale = min(1.0, side / max(height, width))
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        small = np.asarray(cv2.resize(self.pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
        rows, columns = (slice(int(one.start * scale), round(one.stop * scale)) for one in self.box)
        return Crop(small, (rows, columns), self.in_image)

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the box."""
        rows, columns = self.box
        return (rows.stop - rows.start, columns.stop - columns.start)

    def rle(self, mask: npt.NDArray[np.generic], *, width: int, height: int) -> str:
        """Converts a mask of the box, of any resolution, to a mask of the whole image (`width` x `height`) as
        run-lengths.
        """
        import cv2

        rows, columns = self.in_image
        size = (columns.stop - columns.start, rows.stop - rows.start)
        whole = np.zeros((height, width), np.uint8, order="F")
        whole[rows, columns] = cv2.resize(mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
        return masks.encode(whole)


def crop(pixels: Pixels, region: Region, margin: float) -> Crop:
    """The crop of a region. `margin`: how far it extends beyond the box on each side, as a share of the box's sides."""
    height, width = pixels.shape[:2]
    x1, y1, x2, y2 = _whole_pixels(region.x1, region.y1, region.x2, region.y2, width, height)
    wide, high = (x2 - x1) * margin, (y2 - y1) * margin
    left, top, right, bottom = _whole_pixels(x1 - wide, y1 - high, x2 + wide, y2 + high, width, height)
    box = (slice(y1 - top, y2 - top), slice(x1 - left, x2 - left))
    return Crop(pixels[top:bottom, left:right], box, (slice(y1, y2), slice(x1, x2)))


def distance_from_centre(height: int, width: int) -> tuple[Floats, Floats]:
    """For each pixel of a box, its horizontal and its vertical distance from the centre: 0 in the centre, 1 at the
    edges.
    """
    ys, xs = np.mgrid[:height, :width].astype(np.float32)
    return np.abs((xs + 0.5) / width * 2 - 1), np.abs((ys + 0.5) / height * 2 - 1)


def grabcut(cropped: Crop, iterations: int) -> Mask | None:
    """The mask of the object in the box, by GrabCut. None if the crop has no pixels outside the box from which to learn
    the background.

    A small ellipse in the centre is marked as object. Without it GrabCut finds nothing in half of the boxes.
    """
    import cv2

    across, down = distance_from_centre(*cropped.shape)
    state = np.full(cropped.pixels.shape[:2], cv2.GC_BGD, np.uint8)
    state[cropped.box] = np.where(across**2 + down**2 < _CORE, cv2.GC_FGD, cv2.GC_PR_FGD)
    if state.all() or not np.isin(state, (cv2.GC_FGD,)).any():  # GC_BGD is 0
        return None
    cv2.setRNGSeed(0)  # GrabCut's colour models start from random centres
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.grabCut(cropped.pixels, state, (0, 0, 0, 0), *models, iterations, cv2.GC_INIT_WITH_MASK)
    return np.asarray(np.isin(state[cropped.box], (cv2.GC_FGD, cv2.GC_PR_FGD)))


def span(mask: Mask) -> float:
    """The share of the box that the bounding box of the mask covers. The mask of a complete object touches all four
    sides.
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)).tolist(), np.flatnonzero(mask.any(axis=0)).tolist()
    if not rows:
        return 0.0
    return float((rows[-1] - rows[0] + 1) * (columns[-1] - columns[0] + 1)) / mask.size


def mask_iou(first: Mask, second: Mask) -> float:
    """Intersection over union of two masks; 0 if both are empty."""
    both, either = int((first & second).sum()), int((first | second).sum())
    return both / max(either, 1)


def _whole_pixels(x1: float, y1: float, x2: float, y2: float, width: int, height: int) -> tuple[int, int, int, int]:
    """The range of whole pixels that a box touches, cut at the edges of the image: x1, y1, x2, y2."""
    return (
        max(0, int(np.floor(x1))),
        max(0, int(np.floor(y1))),
        min(width, int(np.ceil(x2))),
        min(height, int(np.ceil(y2))),
    )
