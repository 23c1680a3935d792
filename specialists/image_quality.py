"""Measures of a photo that need no model: how sharp, bright, contrasted, rich and clipped it is, and its fingerprint.

All are of luma. Noise counts as sharpness: no second difference tells the two apart. Sharpness is measured on a copy
whose long side is 512, so photos from that size on compare; a smaller one is measured as it is and seems sharper.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import numpy.typing as npt

from engine.errors import ConfigError
from engine.images.perceptual_hash import perceptual_hash
from engine.schema import Answer, ImageScore, Sample

if TYPE_CHECKING:
    from PIL import Image

LONG_SIDE = 512


class ImageQuality:
    """No options. Each image gets these scores:

    sharpness: variance of the Laplacian, in squared grey levels of 0 to 255 (COCO: 1 % are below 116; the same
    photos blurred by 2 pixels: 1 % are above 36).
    brightness: mean luma, 0 to 1. contrast: standard deviation of luma, 0 to 0.5.
    entropy: bits of the luma histogram, 0 to 8. clipped: share of pixels that are quite black or quite white.
    phash: value 0, the perceptual hash is its code; not given for an image without one.
    """

    needs: ClassVar[tuple[str, ...]] = ("pixels",)
    gives: ClassVar[tuple[str, ...]] = ("image_scores",)
    score_names: ClassVar[tuple[str, ...]] = ("sharpness", "brightness", "contrast", "entropy", "clipped", "phash")
    version: ClassVar[int] = 1
    deterministic: ClassVar[bool] = True

    def __init__(self, *, batch_size: int = 16) -> None:
        self.batch_size = batch_size

    def load(self) -> None:
        """Nothing to load."""

    def annotate(self, batch: Sequence[Sample]) -> list[Answer]:
        """One answer for each sample, same order."""
        return [self._one(sample) for sample in batch]

    def _one(self, sample: Sample) -> Answer:
        from PIL import Image

        if sample.pixels is None:
            raise ConfigError("ImageQuality was given a sample without pixels.")
        luma = Image.fromarray(sample.pixels).convert("L")
        values = {"sharpness": sharpness(luma)} | of_histogram(np.array(luma.histogram()))
        scores = [_measured(name, value) for name, value in values.items()]
        code = perceptual_hash(sample.pixels)
        return Answer(image_scores=[*scores, _measured("phash", 0.0, code)] if code else scores)


def sharpness(luma: Image.Image) -> float:
    """Variance of the Laplacian of the copy; 0 for an image too small to have one."""
    from PIL import Image

    scale = LONG_SIDE / max(luma.size)
    if scale < 1:
        size = (max(1, round(luma.width * scale)), max(1, round(luma.height * scale)))
        luma = luma.resize(size, Image.Resampling.BILINEAR)
    grey = np.asarray(luma, np.int16)
    if min(grey.shape) < 3:
        return 0.0
    around = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:]
    return float(np.var(around - 4 * grey[1:-1, 1:-1]))


def of_histogram(counts: npt.NDArray[np.int64]) -> dict[str, float]:
    """What the 256 counts of luma tell."""
    share = counts / counts.sum()
    levels = np.arange(256) / 255
    mean = float(share @ levels)
    filled = share[share > 0]
    return {
        "brightness": mean,
        "contrast": math.sqrt(float(share @ (levels - mean) ** 2)),
        "entropy": max(0.0, -float(filled @ np.log2(filled))),
        "clipped": float(share[0] + share[-1]),
    }


def _measured(name: str, value: float, code: str = "") -> ImageScore:
    return ImageScore(name, value, code, score=1.0, score_kind="measured")
