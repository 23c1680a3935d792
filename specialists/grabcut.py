"""Masks from boxes by GrabCut, without weights: fair where an object contrasts with what surrounds it.

Each region is cut out with a margin and made smaller, so its mask depends on nothing else in the batch. The
margin is what GrabCut learns the background from: a box that fills its image has none and gets no mask.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from engine import masks
from engine.errors import ConfigError
from engine.ranges import Amount, Count, Number, Share
from engine.schema import Answer, Region, Sample

Pixels = npt.NDArray[np.uint8]


class Grabcut:
    """A mask takes the label and the score of the region it outlines (1 for a human one): GrabCut has none.

    Options. max_regions: masks an image, best regions first, human before all. min_side: regions with a
    side of fewer pixels are left alone. max_area: and those that take more of the image. side: pixels the
    cut-out's longer side is reduced to. margin: what is seen around the box, in its own sides.
    iterations: of GrabCut. min_fill: a mask that covers less of its box is not given.
    """

    needs: ClassVar[tuple[str, ...]] = ("pixels", "regions")
    gives: ClassVar[tuple[str, ...]] = ("masks",)
    version: ClassVar[int] = 1
    deterministic: ClassVar[bool] = True

    def __init__(
        self,
        *,
        max_regions: Count = 10,
        min_side: Amount = 16.0,
        max_area: Share = 0.9,
        side: Number = 160,
        margin: Amount = 0.25,
        iterations: Number = 2,
        min_fill: Share = 0.2,
        batch_size: int = 8,
    ) -> None:
        self.max_regions, self.min_side, self.max_area = max_regions, min_side, max_area
        self.side, self.margin, self.iterations, self.min_fill = side, margin, iterations, min_fill
        self.batch_size = batch_size

    def load(self) -> None:
        import cv2

        cv2.setNumThreads(1)

    def annotate(self, batch: Sequence[Sample]) -> list[Answer]:
        """One answer for each sample, same order: a region with the same box and an rle for each it could cut out."""
        return [self._one(sample) for sample in batch]

    def _one(self, sample: Sample) -> Answer:
        if sample.pixels is None:
            raise ConfigError("Grabcut was given a sample without pixels.")
        answer = Answer()
        for region in self._chosen(sample):
            rle = self._outline(sample.pixels, region)
            if rle:
                answer.regions.append(_mask_of(region, rle, str(len(answer.regions))))
        return answer

    def _chosen(self, sample: Sample) -> list[Region]:
        most = self.max_area * sample.width * sample.height
        fit = [
            region
            for region in sample.regions
            if region.kind == "object"
            and not region.rle
            and not region.merged_into
            and min(region.x2 - region.x1, region.y2 - region.y1) >= self.min_side
            and (region.x2 - region.x1) * (region.y2 - region.y1) <= most
        ]
        return sorted(fit, key=lambda region: -2.0 if region.score is None else -region.score)[: self.max_regions]

    def _outline(self, pixels: Pixels, region: Region) -> str:
        """'' if GrabCut finds nothing, or no background to learn from."""
        import cv2

        height, width = pixels.shape[:2]
        x1, y1, x2, y2 = _whole(region.x1, region.y1, region.x2, region.y2, width, height)
        wide, high = (x2 - x1) * self.margin, (y2 - y1) * self.margin
        left, top, right, bottom = _whole(x1 - wide, y1 - high, x2 + wide, y2 + high, width, height)
        cut = pixels[top:bottom, left:right]
        scale = min(1.0, self.side / max(cut.shape[:2]))
        size = (max(1, round(cut.shape[1] * scale)), max(1, round(cut.shape[0] * scale)))
        small = np.asarray(cv2.resize(cut, size, interpolation=cv2.INTER_AREA), np.uint8)
        state = np.full((size[1], size[0]), cv2.GC_BGD, np.uint8)
        rows = slice(int((y1 - top) * scale), round((y2 - top) * scale))
        state[rows, int((x1 - left) * scale) : round((x2 - left) * scale)] = cv2.GC_PR_FGD
        if state.all() or not state.any():
            return ""
        inside = cv2.resize(self._cut(small, state), (cut.shape[1], cut.shape[0]), interpolation=cv2.INTER_NEAREST)
        inside = inside[y1 - top : y2 - top, x1 - left : x2 - left]
        if np.count_nonzero(inside) < self.min_fill * inside.size:
            return ""
        mask = np.zeros((height, width), np.uint8, order="F")
        mask[y1:y2, x1:x2] = inside
        return masks.encode(mask)

    def _cut(self, small: Pixels, state: Pixels) -> Pixels:
        import cv2

        cv2.setRNGSeed(0)  # its colour models start from random centres
        models = np.zeros((1, 65)), np.zeros((1, 65))
        cv2.grabCut(small, state, (0, 0, 0, 0), *models, self.iterations, cv2.GC_INIT_WITH_MASK)
        return np.isin(state, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.uint8)


def _whole(x1: float, y1: float, x2: float, y2: float, width: int, height: int) -> tuple[int, int, int, int]:
    """The whole pixels a box touches, inside the image."""
    return (
        max(0, int(np.floor(x1))),
        max(0, int(np.floor(y1))),
        min(width, int(np.ceil(x2))),
        min(height, int(np.ceil(y2))),
    )


def _mask_of(region: Region, rle: str, name: str) -> Region:
    score = 1.0 if region.score is None else region.score
    outlined = Region(region.x1, region.y1, region.x2, region.y2, region.label, rle=rle, merged_into=region.id)
    outlined.id, outlined.score, outlined.score_kind, outlined.parents = name, score, "region", [region.id]
    return outlined
