"""Measures sharpness, brightness, contrast, entropy and clipping of a photo, and its perceptual hash, without a model.

All except the hash are measured on luma. Noise counts as sharpness, because the Laplacian cannot separate the two.
Photos with a long side above 512 pixels are reduced to 512 before sharpness is measured, so sharpness is comparable
among them. Smaller photos are not enlarged and seem sharper.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import numpy.typing as npt

from engine.images.perceptual_hash import perceptual_hash
from engine.schema import Answer, ImageScore, Sample
from specialists.pixels import pixels_of

if TYPE_CHECKING:
    from PIL import Image

LONG_SIDE = 512


class ImageQuality:
    """No options. Each image gets these scores:

    sharpness: variance of the Laplacian, in squared grey levels of 0 to 255. Of COCO photos, 1 % are below 116. Of the
    same photos blurred by 2 pixels, 1 % are above 36.
    brightness: mean luma, 0 to 1. contrast: standard deviation of luma, 0 to 0.5.
    entropy: bits of the luma histogram, 0 to 8. clipped: share of pixels that are fully black or fully white.
    phash: its code is the perceptual hash, and its value is 0. An image without a hash lacks this score.
    """

    needs: ClassVar[tuple[str, ...]] = ("pixels",)
    gives: ClassVar[tuple[str, ...]] = ("image_scores",)
    score_names: ClassVar[tuple[str, ...]] = ("sharpness", "brightness", "contrast", "entropy", "clipped", "phash")
    version: ClassVar[int] = 1
    deterministic: ClassVar[bool] = True
    code_licence: ClassVar[str] = "apache-2.0"
    weights_licence: ClassVar[str] = ""

    def __init__(self, *, batch_size: int = 16) -> None:
        self.batch_size = batch_size

    def load(self) -> None:
        """Nothing to load."""

    def annotate(self, batch: Sequence[Sample]) -> list[Answer]:
        """One answer for each sample, in the same order."""
        return [self._measure(sample) for sample in batch]

    def _measure(self, sample: Sample) -> Answer:
        from PIL import Image

        pixels = pixels_of(sample)
        luma = Image.fromarray(pixels).convert("L")
        values = {"sharpness": sharpness(luma)} | histogram_measures(np.array(luma.histogram()))
        scores = [_measured(name, value) for name, value in values.items()]
        code = perceptual_hash(pixels)
        return Answer(image_scores=[*scores, _measured("phash", 0.0, code)] if code else scores)


def sharpness(luma: Image.Image) -> float:
    """The variance of the Laplacian, measured at a long side of at most 512 pixels. 0 for an image with a side below 3
    pixels.
    """
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


def histogram_measures(counts: npt.NDArray[np.int64]) -> dict[str, float]:
    """The measures that can be computed from a luma histogram. `counts`: its 256 counts."""
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
