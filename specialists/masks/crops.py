"""What the makers of masks share: which regions get one, the region cut out of its photo, GrabCut on the cut-out.

Each region is cut out with a margin and made smaller, so its mask depends on nothing else in the batch. A mask never
leaves its box: what lies outside of it is background.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine.records import masks
from engine.schema import Region, Sample

Pixels = npt.NDArray[np.uint8]
Inside = npt.NDArray[np.bool_]
Shares = npt.NDArray[np.float32]

_CORE = 0.1  # squared distance from the middle, in half sides


def chosen(sample: Sample, *, max_regions: int, min_score: float, min_side: float, max_area: float) -> list[Region]:
    """Objects that have no mask, best first and human before all; none scored below `min_score`, with a side below
    `min_side` pixels or with more than `max_area` of the image."""
    most = max_area * sample.width * sample.height
    fit = [
        region
        for region in sample.regions
        if region.kind == "object"
        and not region.rle
        and not region.merged_into
        and (region.score is None or region.score >= min_score)
        and min(region.x2 - region.x1, region.y2 - region.y1) >= min_side
        and (region.x2 - region.x1) * (region.y2 - region.y1) <= most
    ]
    return sorted(fit, key=lambda region: -2.0 if region.score is None else -region.score)[:max_regions]


@dataclass(frozen=True, slots=True)
class CutOut:
    """A region and what is around it. `box`: the rows and columns of the region in `pixels`, `place` in the photo."""

    pixels: Pixels
    box: tuple[slice, slice]
    place: tuple[slice, slice]

    def smaller(self, side: int) -> CutOut:
        """To look at: the longer side of `pixels` is at most `side` then. `place` stays that of the photo."""
        import cv2

        height, width = self.pixels.shape[:2]
        scale = min(1.0, side / max(height, width))
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        small = np.asarray(cv2.resize(self.pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
        rows, columns = (slice(int(one.start * scale), round(one.stop * scale)) for one in self.box)
        return CutOut(small, (rows, columns), self.place)

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the box."""
        rows, columns = self.box
        return (rows.stop - rows.start, columns.stop - columns.start)

    def rle(self, inside: npt.NDArray[np.generic], *, width: int, height: int) -> str:
        """Of the photo, from what is inside in the box, in any size."""
        import cv2

        rows, columns = self.place
        size = (columns.stop - columns.start, rows.stop - rows.start)
        mask = np.zeros((height, width), np.uint8, order="F")
        mask[rows, columns] = cv2.resize(inside.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
        return masks.encode(mask)


def cut_out(pixels: Pixels, region: Region, margin: float) -> CutOut:
    """`margin`: what is seen around the box, in its own sides, as far as the photo goes."""
    height, width = pixels.shape[:2]
    x1, y1, x2, y2 = _whole(region.x1, region.y1, region.x2, region.y2, width, height)
    wide, high = (x2 - x1) * margin, (y2 - y1) * margin
    left, top, right, bottom = _whole(x1 - wide, y1 - high, x2 + wide, y2 + high, width, height)
    box = (slice(y1 - top, y2 - top), slice(x1 - left, x2 - left))
    return CutOut(pixels[top:bottom, left:right], box, (slice(y1, y2), slice(x1, x2)))


def from_middle(height: int, width: int) -> tuple[Shares, Shares]:
    """How far each pixel of a box is from its middle, across and down: 1 at the sides."""
    ys, xs = np.mgrid[:height, :width].astype(np.float32)
    return np.abs((xs + 0.5) / width * 2 - 1), np.abs((ys + 0.5) / height * 2 - 1)


def cut_by_colour(cut: CutOut, iterations: int) -> Inside | None:
    """What GrabCut finds in the box; None where there is no background to learn from.

    A small ellipse in the middle is taken for the object, or GrabCut would end with nothing in every other box.
    """
    import cv2

    across, down = from_middle(*cut.shape)
    state = np.full(cut.pixels.shape[:2], cv2.GC_BGD, np.uint8)
    state[cut.box] = np.where(across**2 + down**2 < _CORE, cv2.GC_FGD, cv2.GC_PR_FGD)
    if state.all() or not np.isin(state, (cv2.GC_FGD,)).any():  # GC_BGD is 0
        return None
    cv2.setRNGSeed(0)  # its colour models start from random centres
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.grabCut(cut.pixels, state, (0, 0, 0, 0), *models, iterations, cv2.GC_INIT_WITH_MASK)
    return np.asarray(np.isin(state[cut.box], (cv2.GC_FGD, cv2.GC_PR_FGD)))


def spanned(inside: Inside) -> float:
    """The share of a box that the box of its mask covers: an object touches all sides of its own box."""
    rows, columns = np.flatnonzero(inside.any(axis=1)).tolist(), np.flatnonzero(inside.any(axis=0)).tolist()
    if not rows:
        return 0.0
    return float((rows[-1] - rows[0] + 1) * (columns[-1] - columns[0] + 1)) / inside.size


def shared(first: Inside, second: Inside) -> float:
    """Intersection over union; 0 of nothing."""
    both, either = int((first & second).sum()), int((first | second).sum())
    return both / max(either, 1)


def outlined(region: Region, rle: str, quality: float, name: str) -> Region:
    """The mask as a region: its score is the region's (1 for a human one) times `quality`, the IoU it may have."""
    score = min(1.0, max(0.0, quality)) * (1.0 if region.score is None else region.score)
    mask = Region(region.x1, region.y1, region.x2, region.y2, region.label, rle=rle, merged_into=region.id)
    mask.id, mask.score, mask.score_kind, mask.parents = name, score, "mask_iou", [region.id]
    return mask


def _whole(x1: float, y1: float, x2: float, y2: float, width: int, height: int) -> tuple[int, int, int, int]:
    """The whole pixels a box touches, inside the image."""
    return (
        max(0, int(np.floor(x1))),
        max(0, int(np.floor(y1))),
        min(width, int(np.ceil(x2))),
        min(height, int(np.ceil(y2))),
    )
