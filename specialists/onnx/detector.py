"""Detects objects with a small ONNX detector. Its weights may be at any path or URL.

Its scores are those of the model and cannot be compared with another model's. Keep `min_score` low if a consensus
follows: weak boxes that another detector confirms are what a consensus gains most from.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from engine.config.ranges import Count, Number, Share
from engine.errors import StartError
from engine.records.boxes import clipped_boxes
from engine.records.overlaps import iou_pairs, suppress
from engine.schema import Answer, Region, Sample
from engine.storage.text_files import text_lines
from specialists.onnx.coco_labels import COCO_80
from specialists.onnx.heads import HEADS, Fit, Floats
from specialists.onnx.session import onnx_errors, open_session
from specialists.pixels import pixels_of


class OnnxDetector:
    """Options. weights: path or fsspec URL of the ONNX file. sha256: the expected SHA-256 digest of that file; '' skips
    the check. A URL needs a digest. head: the model family, which defines the input and the outputs. size: side of the
    square input in pixels; 0 uses the family's usual size. labels: class names in the model's order, or the path of a
    text file with one name a line. An empty list means the 80 classes of COCO. min_score: boxes with a lower score are
    left out. nms_iou: if two boxes of one class have a higher IoU than this, only the one with the higher score is
    kept. max_boxes: the most boxes that are kept for an image; the highest scores are kept. gpus: GPUs for each worker,
    used through CUDA; this needs onnxruntime-gpu. Images run in batches if the network's first axis is dynamic, and one
    at a time otherwise.
    """

    needs: ClassVar[tuple[str, ...]] = ("pixels",)
    gives: ClassVar[tuple[str, ...]] = ("boxes",)
    packages: ClassVar[tuple[str, ...]] = ("onnxruntime",)
    extra: ClassVar[str] = "detect"
    version: ClassVar[int] = 1
    key_name: ClassVar[str] = "specialists.onnx_detector:OnnxDetector"
    deterministic: ClassVar[bool] = True
    code_licence: ClassVar[str] = "apache-2.0"
    weights_licence: ClassVar[str] = "unknown"  # of the file that the recipe names: the recipe may state it

    def __init__(
        self,
        *,
        weights: str,
        head: Literal["yolox", "nanodet", "fastestdet"],
        sha256: str = "",
        size: Count = 0,
        labels: str | list[str] = [],  # noqa: B006 - never changed, and the type that YAML gives
        min_score: Share = 0.05,
        nms_iou: Share = 0.5,
        max_boxes: Number = 100,
        batch_size: int = 16,
        gpus: float = 0.0,
    ) -> None:
        self.path, self.sha256, self.head_name = weights, sha256.lower(), head
        self.head = HEADS[head]
        self.size = size or self.head.size
        self.labels = labels
        self.min_score, self.nms_iou, self.max_boxes = min_score, nms_iou, max_boxes
        self.batch_size, self.gpus = batch_size, gpus
        self.batched = False  # until `load` finds that the network runs several images at once
        self.weights = (weights, labels) if isinstance(labels, str) else (weights,)

    def load(self) -> None:
        import cv2

        cv2.setNumThreads(1)
        self.names = self._names()
        self.session: Any = open_session(self._checked_weights(), self.path, gpus=self.gpus)
        self._check_shapes()
        self.input_name: str = self.session.get_inputs()[0].name
        self._check_names()
        self.batched = self._runs_batches()

    def _names(self) -> tuple[str, ...]:
        if isinstance(self.labels, str):
            try:
                return tuple(text_lines(_read(self.labels)))
            except UnicodeDecodeError as error:
                raise StartError(f"The labels '{self.labels}' are not a text file: {error}.") from error
        return tuple(self.labels) or COCO_80

    def _check_names(self) -> None:
        """Checks that there is one name for each class. A missing name would shift all names after it."""
        grey = np.full((self.size, self.size, 3), 114, np.uint8)
        blob, _ = self.head.prepare(grey, self.size)
        _, scores = self.head.decode(self.session.run(None, {self.input_name: blob}), self.size, self.min_score)
        if scores.shape[1] != len(self.names):
            given = "" if self.labels else ", those of COCO"
            raise StartError(
                f"'{self.path}' has {scores.shape[1]} classes, but there are {len(self.names)} names{given}: "
                "give `labels` with one name for each class, in the model's order."
            )

    def _checked_weights(self) -> bytes:
        data = _read(self.path)
        found = hashlib.sha256(data).hexdigest()
        if self.sha256 and found != self.sha256:
            raise StartError(
                f"The weights '{self.path}' have sha256 {found}, expected {self.sha256}: "
                "get the right file, or correct `sha256` in the recipe if you changed the weights."
            )
        return data

    def _check_shapes(self) -> None:
        outputs = len(self.session.get_outputs())
        shape = self.session.get_inputs()[0].shape
        if outputs != self.head.outputs:
            raise StartError(
                f"'{self.path}' has {outputs} outputs, but the head {self.head_name} needs {self.head.outputs}: "
                "give the `head` that the weights were exported with."
            )
        if isinstance(shape[0], int) and shape[0] != 1:
            raise StartError(
                f"'{self.path}' takes exactly {shape[0]} images at once: export it for one image, or with a "
                "dynamic first axis."
            )
        if isinstance(shape[-1], int) and shape[-2:] != [self.size, self.size]:
            raise StartError(
                f"'{self.path}' needs {shape[-1]} x {shape[-2]} pixels, not {self.size} x {self.size}: "
                f"set `size: {shape[-1]}`."
            )

    def _runs_batches(self) -> bool:
        """Whether a batch of two images gives the same outputs as the two images run one after the other.

        A dynamic first axis does not ensure this. Many exported networks contain a reshape to the batch size of one
        that they were exported with.
        """
        import onnxruntime

        if self.session.get_inputs()[0].shape[0] == 1:
            return False
        pictures = np.random.default_rng(0).integers(0, 256, (2, self.size, self.size, 3), np.uint8)
        blobs = [self.head.prepare(picture, self.size)[0] for picture in pictures]
        quiet = onnxruntime.RunOptions()
        quiet.log_severity_level = 4
        try:
            together = self.session.run(None, {self.input_name: np.concatenate(blobs)}, quiet)
        except onnx_errors():
            return False
        alone = zip(*(self.session.run(None, {self.input_name: blob}) for blob in blobs), strict=True)
        return all(
            output.shape[0] == 2 and np.allclose(output, np.concatenate(parts), rtol=1e-3, atol=1e-3)
            for output, parts in zip(together, alone, strict=True)
        )

    def annotate(self, batch: Sequence[Sample]) -> list[Answer]:
        """One answer for each sample, in the same order."""
        if not self.batched:
            return [self._alone(sample) for sample in batch]
        inputs = [self.head.prepare(pixels_of(sample), self.size) for sample in batch]
        outputs = self._together([blob for blob, _ in inputs])
        return [self._answer(*one) for one in zip(batch, (fit for _, fit in inputs), outputs, strict=True)]

    def _alone(self, sample: Sample) -> Answer:
        """The answer for one sample. Its blob and outputs are still in the processor's cache when they are read."""
        blob, fit = self.head.prepare(pixels_of(sample), self.size)
        return self._answer(sample, fit, self.session.run(None, {self.input_name: blob}))

    def _together(self, blobs: Sequence[Floats]) -> list[list[Floats]]:
        """The network's outputs for each blob of a batch. Raises MemoryError if the batch does not fit into the GPU's
        memory.
        """
        try:
            outputs = self.session.run(None, {self.input_name: np.concatenate(blobs)})
        except onnx_errors() as error:
            if "Failed to allocate memory" in str(error):
                raise MemoryError(f"{len(blobs)} images do not fit the memory: {error}") from error
            raise
        return [[output[row : row + 1] for output in outputs] for row in range(len(blobs))]

    def _answer(self, sample: Sample, fit: Fit, outputs: Sequence[Floats]) -> Answer:
        boxes, scores = self.head.decode(outputs, self.size, self.min_score)
        rows, classes = np.nonzero(scores >= self.min_score)
        corners = _clipped(fit.to_image(boxes[rows]), sample.width, sample.height)
        answer = Answer()
        for row in self._suppress(corners, scores[rows, classes], classes):
            x1, y1, x2, y2 = corners[row].tolist()
            label = self.names[classes[row]]
            score = min(1.0, float(scores[rows[row], classes[row]]))
            name = str(len(answer.regions))
            answer.regions.append(Region(x1, y1, x2, y2, label, id=name, score=score, score_kind="confidence"))
        return answer

    def _suppress(self, boxes: Floats, scores: Floats, classes: npt.NDArray[np.int64]) -> list[int]:
        """Indices of the boxes that are kept, best first. Boxes with equal scores stay in their order, so that answers
        are repeatable.

        A box can only be suppressed by a better box. The loop therefore looks at the best `most` candidates first, and
        at more of them only if fewer than `max_boxes` remain. For most images the first pass is enough.
        """
        solid = np.flatnonzero((boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1]) & np.isfinite(scores))
        order = solid[np.argsort(-scores[solid], kind="stable")]
        most, keep = 4 * self.max_boxes, order[:0]
        while len(keep) < self.max_boxes:
            best = order[:most]
            i, j, _ = iou_pairs(classes[best], boxes[best], min_iou=self.nms_iou)
            keep = best[suppress(i, j, scores[best].astype(np.float64))]
            if most >= len(order):
                break
            most *= 4
        kept: list[int] = keep[: self.max_boxes].tolist()
        return kept


def _clipped(boxes: Floats, width: int, height: int) -> Floats:
    """The boxes cut at the edges of the image. NaN coordinates become 0; such a box has no area, and `_suppress` drops
    it.
    """
    inside: Floats = np.nan_to_num(clipped_boxes(boxes, width, height), nan=0.0)
    return inside


def _read(path: str) -> bytes:
    import fsspec

    try:
        with fsspec.open(path, "rb") as file:
            data: bytes = file.read()
            return data
    except FileNotFoundError as error:
        raise StartError(f"No weights at '{path}': correct the path in the recipe.") from error
    except (OSError, ValueError, ImportError) as error:
        raise StartError(f"The weights '{path}' cannot be read: {error}.") from error
