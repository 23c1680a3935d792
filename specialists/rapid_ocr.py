"""Reads printed text with the PP-OCR models of the rapidocr package. Each line has a quad, a string
and a score.

Nothing is downloaded: all models are loaded from the package. Each line becomes a text region without a label, and a
region text with the string.
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
from specialists.pixels import Pixels, pixels_of

_MODELS = {
    "Det": "PP-OCRv6_det_small.onnx",
    "Cls": "ch_ppocr_mobile_v2.0_cls_mobile.onnx",
    "Rec": "PP-OCRv6_rec_small.onnx",
}
# The detector enlarges the short side to 736 pixels, so an image of 30 x 5000 would become 736 x 120,000 pixels.
_MOST_ELONGATED = 4.0


class RapidOcr:
    """Options.

    min_score: lines to which the recogniser gives a lower score are left out.
    max_side: an image with a longer side is reduced to this many pixels before detection.
    upside_down: whether lines that are upside down are read too.
    """

    needs: ClassVar[tuple[str, ...]] = ("pixels",)
    gives: ClassVar[tuple[str, ...]] = ("ocr",)
    packages: ClassVar[tuple[str, ...]] = ("rapidocr", "onnxruntime")
    extra: ClassVar[str] = "ocr"
    version: ClassVar[int] = 1
    deterministic: ClassVar[bool] = True
    code_licence: ClassVar[str] = "apache-2.0"
    weights_licence: ClassVar[str] = "apache-2.0"  # PP-OCR, by the package's MODEL_LICENSES.md

    def __init__(
        self, *, min_score: Share = 0.5, max_side: Number = 1600, upside_down: bool = True, batch_size: int = 8
    ) -> None:
        self.min_score, self.max_side, self.upside_down = min_score, max_side, upside_down
        self.batch_size = batch_size

    @cached_property
    def weights(self) -> tuple[str, ...]:
        """The paths of the packaged models. The package is not imported."""
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
        # rapidocr opens each model at its first use. All are used here, so that a broken model makes the start fail and
        # not an image. The detector gets few pixels: rapidocr itself would enlarge any board to 736 x 736, which takes
        # as long as a photo.
        self.engine._load_det_model().session(np.zeros((1, 3, 64, 64), np.float32))
        board = np.full((48, 160, 3), 255, np.uint8)
        self.engine(cv2.putText(board, "words", (8, 36), cv2.FONT_HERSHEY_SIMPLEX, 1.4, (0, 0, 0), 3), use_det=False)
        self.engine.update_params(use_det=True)

    def _engine(self, params: dict[str, Any]) -> Any:
        try:
            from rapidocr import RapidOCR

            return RapidOCR(params=params)
        except (ImportError, ValueError, KeyError) as error:
            raise StartError(f"rapidocr cannot start: {error}.") from error

    def annotate(self, batch: Sequence[Sample]) -> list[Answer]:
        """One answer for each sample, in the same order. Quads run clockwise and start at the top left of the text as
        it is read.
        """
        return [self._read(sample) for sample in batch]

    def _read(self, sample: Sample) -> Answer:
        found = self.engine(_padded(pixels_of(sample)[:, :, ::-1]))
        answer = Answer()
        if found.boxes is None or found.txts is None:
            return answer
        edge = np.array([sample.width, sample.height], np.float32)
        for quad, text, score in zip(found.boxes, found.txts, found.scores, strict=True):
            _add_line(answer, np.clip(np.asarray(quad, np.float32), 0, edge), str(text).strip(), float(score))
        return answer


def _padded(pixels: Pixels) -> Pixels:
    """The pixels as a contiguous array. A very long and narrow image gets a white margin on the right or at the
    bottom.
    """
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
    region_id, text_id = str(2 * len(answer.regions)), str(2 * len(answer.regions) + 1)
    score = min(1.0, max(0.0, score))
    corners = quad.reshape(-1).tolist()
    answer.regions.append(
        Region(x1, y1, x2, y2, kind="text", quad=corners, id=region_id, score=score, score_kind="confidence")
    )
    answer.region_texts.append(
        RegionText(region_id, text, "ocr", id=text_id, score=score, score_kind="confidence", parents=[region_id])
    )
