"""Runs any detector of transformers: D-FINE, RF-DETR, DEIMv2, RT-DETRv2 or DETR. Boxes get masks if
the model has them.

Boxes and scores are computed by the checkpoint's own image processor. Scores of different models are not on one scale.
Either use a `consensus` with a calibration, or give each node its own `min_score`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from engine.config.ranges import Number, Share
from engine.errors import StartError, unknown
from engine.records.boxes import clipped_boxes
from engine.schema import Answer, Region, Sample
from specialists.pixels import pixels_of
from specialists.transformers.checkpoint import EXTRA, PACKAGES, Checkpoint, Dtype
from specialists.transformers.licences import licence_of

_NO_NAME = re.compile(r"LABEL_\d+")  # the name that transformers gives to a class without a name
_NO_CLASS = "N/A"  # the name of COCO category ids that were never used


class HfDetector:
    """Runs any checkpoint of AutoModelForObjectDetection, and RF-DETR with masks (RfDetrForInstanceSegmentation), whose
    boxes have their mask as `rle`.

    Checkpoints: ustc-community/dfine-large-coco (DFineForObjectDetection, 31 M parameters, 126 MB of weights) and, for
    a second opinion, Roboflow/rf-detr-base (RfDetrForObjectDetection). Both have the 80 classes of COCO, under
    apache-2.0.

    Options. checkpoint: a folder or a hub id. revision: branch, tag or commit of a hub id; '' for the default branch.
    labels: the classes to keep, by the checkpoint's names; [] for all. A mapping {name: label} also renames them.
    min_score: boxes with a lower score are left out. max_boxes: most boxes for each image; the best are kept. masks:
    false leaves out the masks of a model that has them, which saves time on large images. dtype: number type of the
    weights. compile: whether to use torch.compile, which makes the start slower and the rest faster. gpus: GPUs for
    each worker; with 0 the worker uses the CPU with `cpus` threads.
    """

    needs: ClassVar[tuple[str, ...]] = ("pixels",)
    gives: ClassVar[tuple[str, ...]] = ("boxes",)
    packages: ClassVar[tuple[str, ...]] = PACKAGES
    extra: ClassVar[str] = EXTRA
    code_licence: ClassVar[str] = "apache-2.0"  # of this engine and of transformers
    version: ClassVar[int] = 1
    deterministic: ClassVar[bool] = False  # the last digits depend on how many images a batch has

    def __init__(
        self,
        *,
        checkpoint: str,
        revision: str = "",
        labels: list[str] | dict[str, str] = [],  # noqa: B006 - never changed, and the types that YAML gives
        min_score: Share = 0.3,
        max_boxes: Number = 100,
        masks: bool = True,
        dtype: Dtype = "float32",
        compile: bool = False,  # noqa: A002 - the option's name in every recipe
        batch_size: int = 16,
        cpus: float = 1.0,
        gpus: float = 0.0,
        timeout_s: float = 600.0,
    ) -> None:
        self.source = Checkpoint(checkpoint, revision)
        self.labels = labels
        self.min_score, self.max_boxes, self.masks = min_score, max_boxes, masks
        self.dtype, self.compile = dtype, compile
        self.batch_size, self.cpus, self.gpus, self.timeout_s = batch_size, cpus, gpus, timeout_s

    @property
    def weights(self) -> tuple[str, ...]:
        return self.source.weights

    @property
    def resolved(self) -> Mapping[str, str]:
        return self.source.resolved

    @property
    def weights_licence(self) -> str:
        return licence_of(self.source.name)

    def load(self) -> None:
        from transformers import AutoConfig, AutoModelForInstanceSegmentation, AutoModelForObjectDetection

        config = self.source.load(AutoConfig)
        architecture = str((config.architectures or [""])[0])
        segments = architecture.endswith("ForInstanceSegmentation")
        self.processor = load_processor(self.source, config.model_type)
        if not hasattr(self.processor, "post_process_object_detection"):
            raise StartError(
                f"'{self.source.name}' is a {architecture or config.model_type}, which gives no boxes: give a "
                "checkpoint for object detection, such as ustc-community/dfine-large-coco."
            )
        self.names = _names(self.source.name, config.id2label, self.labels)
        auto_class = AutoModelForInstanceSegmentation if segments else AutoModelForObjectDetection
        self.model = self.source.load_model(
            auto_class, gpus=self.gpus, dtype=self.dtype, cpus=self.cpus, compiled=self.compile
        )

    def annotate(self, batch: Sequence[Sample]) -> list[Answer]:
        """One answer for each sample, in the same order.

        Images run together only if the processor gives them the same size, because padding would change their boxes.
        """
        from PIL import Image

        images = [Image.fromarray(pixels_of(sample)) for sample in batch]
        inputs = [self.processor(images=image, return_tensors="pt") for image in images]
        alike: dict[tuple[int, ...], list[int]] = {}
        for row, features in enumerate(inputs):
            alike.setdefault(tuple(features["pixel_values"].shape), []).append(row)
        answers = [Answer() for _ in batch]
        for rows in alike.values():
            found = self._detect([inputs[row] for row in rows], [images[row].size for row in rows])
            for row, answer in zip(rows, found, strict=True):
                answers[row] = answer
        return answers

    def _detect(self, inputs: Sequence[Any], sizes: Sequence[tuple[int, int]]) -> list[Answer]:
        """The answers for inputs of one shape. `sizes`: width and height of each image."""
        import torch

        features = {
            name: torch.cat([one[name] for one in inputs]).to(self.model.device)
            for name, value in inputs[0].items()
            if isinstance(value, torch.Tensor)
        }
        features["pixel_values"] = features["pixel_values"].to(self.model.dtype)
        with torch.inference_mode():
            outputs = self.model(**features)
            outputs.logits, outputs.pred_boxes = outputs.logits.float(), outputs.pred_boxes.float()
            target_sizes = [(height, width) for width, height in sizes]
            # -1 keeps every score here. With min_score, the processor would drop a score that equals it.
            found = self.processor.post_process_object_detection(outputs, threshold=-1.0, target_sizes=target_sizes)
            masks = _mask_logits(outputs) if self.masks else [None] * len(found)
            return [self._answer(*one) for one in zip(found, masks, sizes, strict=True)]

    def _answer(self, found: Mapping[str, Any], masks: Any, size: tuple[int, int]) -> Answer:
        scores, classes = found["scores"].cpu().numpy(), found["labels"].cpu().numpy()
        boxes = clipped_boxes(found["boxes"].cpu().numpy(), *size)
        answer = Answer()
        for row in self._best(boxes, scores, classes).tolist():
            x1, y1, x2, y2 = boxes[row].tolist()
            rle = "" if masks is None else _rle(masks[row], size)
            region = Region(x1, y1, x2, y2, self.names[int(classes[row])], rle=rle, id=str(len(answer.regions)))
            region.score, region.score_kind = min(1.0, float(scores[row])), "confidence"
            answer.regions.append(region)
        return answer

    def _best(
        self, boxes: npt.NDArray[np.float32], scores: npt.NDArray[np.float32], classes: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.intp]:
        """The rows to keep, best first. Rows with NaN or infinite numbers, which float16 may give, are dropped."""
        solid = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1]) & np.isfinite(boxes).all(axis=1)
        kept = np.flatnonzero(solid & (scores >= self.min_score) & np.isin(classes, list(self.names)))
        return np.asarray(kept[np.argsort(-scores[kept], kind="stable")][: self.max_boxes])


def load_processor(source: Checkpoint, model_type: str) -> Any:
    """The checkpoint's image processor. RF-DETR's own needs torchvision; if that is not installed, a substitute is
    used.
    """
    import importlib.util

    from transformers import AutoImageProcessor

    if model_type == "rf_detr" and importlib.util.find_spec("torchvision") is None:
        from specialists.transformers.rf_detr_pixels import RfDetrPixels

        return source.load(RfDetrPixels)
    return source.load(AutoImageProcessor)


def _names(checkpoint: str, id2label: Mapping[int, str], labels: list[str] | dict[str, str]) -> dict[int, str]:
    """{class number: label to write} for the classes to keep. Raises StartError if a class has no name."""
    named = {int(number): name for number, name in id2label.items() if name != _NO_CLASS}
    if labels:
        wanted = labels if isinstance(labels, dict) else {name: name for name in labels}
        for name in wanted:
            if name not in named.values():
                raise StartError(str(unknown("class in `labels`", name, list(named.values()))))
        named = {number: wanted[name] for number, name in named.items() if name in wanted}
    if nameless := [name for name in named.values() if _NO_NAME.fullmatch(name)]:
        raise StartError(
            f"'{checkpoint}' has no name for its class {nameless[0]}: give `labels`, a mapping such as "
            f"{{{nameless[0]}: cat}}; classes that it leaves out are not looked for."
        )
    return named


def _mask_logits(outputs: Any) -> Sequence[Any]:
    """For each image, the mask logits of its boxes, in the order of the boxes; None for a model without masks.

    RF-DETR's processor takes the best pairs of query and class. So a query may give several boxes, which share one
    mask.
    """
    import torch

    masks = getattr(outputs, "pred_masks", None)
    if masks is None:
        return [None] * len(outputs.logits)
    _, queries, classes = outputs.logits.shape
    best = torch.topk(outputs.logits.sigmoid().flatten(1), queries, dim=1).indices // classes
    return [of_image[of_boxes] for of_image, of_boxes in zip(masks, best, strict=True)]


def _rle(logits: Any, size: tuple[int, int]) -> str:
    """The mask of the whole image as run-lengths. The logits are scaled to the size of the image; pixels above 0 are
    set.
    """
    from torch.nn.functional import interpolate

    from engine.records.masks import encode

    width, height = size
    whole = interpolate(logits[None, None].float(), size=(height, width), mode="bilinear", align_corners=False)
    return encode((whole[0, 0] > 0).cpu().numpy())
