"""Printed text by the PP-OCR models that come inside the rapidocr package: lines with quads, strings, scores.

Nothing is ever downloaded: every model is named by its packaged path. A line is a text region (without a
label) and a region text with its string.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from engine.config.ranges import Number, Share
from engine.errors import ConfigError, StartError
from engine.extras import folder_of
from engine.schema import Answer, Region, RegionText, Sample

_MODELS = {
    "Det": "PP-OCRv6_det_small.onnx",
    "Cls": "ch_ppocr_mobile_v2.0_cls_mobile.onnx",
    "Rec": "PP-OCRv6_rec_small.onnx",
}
# The detector enlarges the short side to 736 pixels: a sliver of 30 x 5000 would become 736 x 120,000.
_MOST_ELONGATED = 4.0


class RapidOcr:
    """Options.

    min_score: lines the recogniser is less sure of are not given.
    max_side: larger images are made smaller before they are searched, to this many pixels a side.
    upside_down: also read lines that stand on their head.
    """

    needs: ClassVar[tuple[str, ...]] = ("pixels",)
    gives: ClassVar[tuple[str, ...]] = ("ocr",)
    packages: ClassVar[tuple[str, ...]] = ("rapidocr", "onnxruntime")
    extra: ClassVar[str] = "ocr"
    version: ClassVar[int] = 1
    deterministic: ClassVar[bool] = True

    def __init__(
        self, *, min_score: Share = 0.5, max_side: Number = 1600, upside_down: bool = True, batch_size: int = 8
    ) -> None:
        self.min_score, self.max_side, self.upside_down = min_score, max_side, upside_down
        self.batch_size = batch_size

    @cached_property
    def weights(self) -> tuple[str, ...]:
        """The packaged models, found without importing the package."""
        folder = folder_of("rapidocr", "rapidocr", "ocr") / "models"
        for name in _MODELS.values():
            if not (folder / name).is_file():
                raise ConfigError(f"The package rapidocr has no model {name}: pip install rapidocr==3.10.0.")
        return tuple(str(folder / name) for name in _MODELS.values())

    def load(self) -> None:
        import cv2

        cv2.setNumThreads(1)
        params: dict[str, Any] = {
            "Global.log_level": "critical",  # it logs every image without text as a warning
            "Global.text_score": self.min_score,
            "Global.max_side_len": self.max_side,
            "Global.use_cls": self.upside_down,
            "EngineConfig.onnxruntime.intra_op_num_threads": 1,
            "EngineConfig.onnxruntime.inter_op_num_threads": 1,
        }
        params |= {f"{part}.model_path": path for part, path in zip(_MODELS, self.weights, strict=True)}
        self.engine = self._engine(params)
        # It opens each model when it first needs it; no image shall be blamed for a broken one.
        board = np.full((64, 256, 3), 255, np.uint8)
        self.engine(cv2.putText(board, "words", (40, 44), cv2.FONT_HERSHEY_SIMPLEX, 1.4, (0, 0, 0), 3))

    def _engine(self, params: dict[str, Any]) -> Any:
        try:
            from rapidocr import RapidOCR

            return RapidOCR(params=params)
        except (ImportError, ValueError, KeyError) as error:
            raise StartError(f"rapidocr cannot start: {error}.") from error

    def annotate(self, batch: Sequence[Sample]) -> list[Answer]:
        """One answer for each sample, same order. Quads run clockwise from the text's own top left."""
        return [self._one(sample) for sample in batch]

    def _one(self, sample: Sample) -> Answer:
        if sample.pixels is None:
            raise ConfigError("RapidOcr was given a sample without pixels.")
        found = self.engine(_stout(sample.pixels[:, :, ::-1]))
        answer = Answer()
        if found.boxes is None or found.txts is None:
            return answer
        edge = np.array([sample.width, sample.height], np.float32)
        for quad, text, score in zip(found.boxes, found.txts, found.scores, strict=True):
            _add_line(answer, np.clip(np.asarray(quad, np.float32), 0, edge), str(text).strip(), float(score))
        return answer


def _stout(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Contiguous, and with a white margin right or below where the image is a sliver."""
    height, width = pixels.shape[:2]
    short = int(np.ceil(max(height, width) / _MOST_ELONGATED))
    margin = ((0, max(0, short - height)), (0, max(0, short - width)), (0, 0))
    if not any(after for _, after in margin):
        return np.ascontiguousarray(pixels)
    return np.pad(pixels, margin, constant_values=255)


def _add_line(answer: Answer, quad: npt.NDArray[np.float32], text: str, score: float) -> None:
    x1, y1 = quad.min(axis=0).tolist()
    x2, y2 = quad.max(axis=0).tolist()
    if not text or not (x1 < x2 and y1 < y2):
        return
    region, string = str(2 * len(answer.regions)), str(2 * len(answer.regions) + 1)
    score = min(1.0, max(0.0, score))
    corners = quad.reshape(-1).tolist()
    answer.regions.append(
        Region(x1, y1, x2, y2, kind="text", quad=corners, id=region, score=score, score_kind="confidence")
    )
    answer.region_texts.append(
        RegionText(region, text, "ocr", id=string, score=score, score_kind="confidence", parents=[region])
    )
