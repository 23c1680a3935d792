"""Masks from boxes by GrabCut, without weights: fair where an object contrasts with what surrounds it.

GrabCut learns the background from the margin around a box: a box that fills its image has none and gets no mask. How
well masks fit is measured by benchmarks/masks.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from engine.config.ranges import Amount, Count, Number, Share
from engine.errors import ConfigError
from engine.schema import Answer, Region, Sample
from specialists.masks.crops import Pixels, chosen, cut_by_colour, cut_out, outlined, spanned


class Grabcut:
    """A mask takes the label of the region it outlines. Its score is the region's (1 for a human one) times the IoU
    that a mask which spans so much of its box has on human boxes of COCO.

    Options. max_regions: masks an image, best regions first, human before all. min_score: regions scored lower are
    left alone, whatever the rules keep. min_side: those with a side of fewer pixels are. max_area: those that take more
    of the image. side: pixels the cut-out's longer side is reduced to. margin: what is seen around the box, in its own
    sides. iterations: of GrabCut. min_quality: a mask whose expected IoU is lower is not given.
    """

    needs: ClassVar[tuple[str, ...]] = ("pixels", "regions")
    gives: ClassVar[tuple[str, ...]] = ("masks",)
    version: ClassVar[int] = 2
    key_name: ClassVar[str] = "specialists.grabcut:Grabcut"
    deterministic: ClassVar[bool] = True

    def __init__(
        self,
        *,
        max_regions: Count = 10,
        min_score: Share = 0.1,
        min_side: Amount = 16.0,
        max_area: Share = 0.9,
        side: Number = 160,
        margin: Amount = 0.25,
        iterations: Number = 2,
        min_quality: Share = 0.55,
        batch_size: int = 8,
    ) -> None:
        self.max_regions, self.min_side, self.max_area = max_regions, min_side, max_area
        self.min_score = min_score
        self.side, self.margin, self.iterations, self.min_quality = side, margin, iterations, min_quality
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
        options = {"min_score": self.min_score, "min_side": self.min_side, "max_area": self.max_area}
        for region in chosen(sample, max_regions=self.max_regions, **options):
            rle, quality = self._outline(sample.pixels, region)
            if rle:
                answer.regions.append(outlined(region, rle, quality, str(len(answer.regions))))
        return answer

    def _outline(self, pixels: Pixels, region: Region) -> tuple[str, float]:
        """'' if GrabCut finds nothing good, or no background to learn from."""
        cut = cut_out(pixels, region, self.margin).smaller(self.side)
        inside = cut_by_colour(cut, self.iterations)
        if inside is None or (quality := _expected_iou(spanned(inside))) < self.min_quality:
            return "", 0.0
        return cut.rle(inside, width=pixels.shape[1], height=pixels.shape[0]), quality


def _expected_iou(span: float) -> float:
    """Fitted to 512 human boxes of COCO; cross-validated by photo it correlates with the true IoU at .82."""
    return 0.07 + 0.75 * span
