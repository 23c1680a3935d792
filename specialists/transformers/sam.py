"""Makes masks from boxes with SAM 2, the tracker of SAM 3, or EdgeTAM.

For these models transformers prepares images only with torchvision, which few CPU builds of torch can import. So the
image is prepared here by the same arithmetic: stretched to the network's square, then normalised. Width and height are
scaled by different factors, and boxes are scaled in the same way.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from engine.config.ranges import Amount, Number, Share
from engine.errors import StartError
from engine.records import masks
from engine.records.boxes import box_of
from engine.schema import Answer, Region, Sample
from specialists.masks.crops import Selection
from specialists.pixels import Pixels, pixels_of
from specialists.transformers.checkpoint import EXTRA, PACKAGES, Checkpoint, Dtype
from specialists.transformers.licences import licence_of

if TYPE_CHECKING:
    from torch import Tensor

SCORE_KIND = "predicted_iou"
CLASSES = ("Sam2Model", "Sam3TrackerModel", "EdgeTamModel")


class Sam:
    """Gives a mask for each region, including the regions that a grounder found for phrases. A mask has the label and
    kind of its region. Its score is the IoU with the true mask that the network predicts.

    Checkpoints (`AutoModelForMaskGeneration`): facebook/sam2.1-hiera-large (`Sam2Model`, Apache-2.0, 0.9 GB of weights
    in float32; hiera-base-plus 0.3 GB; -small and -tiny are smaller still), facebook/sam3 (`Sam3TrackerModel`, under
    Meta's own licence, which must be accepted before it can be downloaded), those of `EdgeTamModel` (needs the package
    timm; not tested here). Each image is encoded once and alone, so its masks do not depend on the rest of the batch.

    Options. checkpoint: a folder or a hub id. revision: revision of a hub id. min_score, min_side: regions with a lower
    score, or with a side of fewer pixels, get no mask. min_score does not apply to human regions, which have no score.
    Regions that already have a mask keep it. min_quality: masks with a lower predicted IoU are left out; empty masks
    are left out too. multimask: the network proposes three masks for each box, and the one with the best predicted IoU
    is taken. inside_box: cuts the mask at the box. By default it is not cut, as in the paper, because a mask that
    reaches outside shows that the box is too small. boxes_at_once: boxes of one image in one pass of the network; fewer
    need less memory. dtype: number type of the weights. compile: compiles the image encoder. gpus: GPUs for each
    worker; with 0 the worker uses the CPU with `cpus` threads.
    """

    packages: ClassVar[tuple[str, ...]] = PACKAGES
    extra: ClassVar[str] = EXTRA
    needs: ClassVar[tuple[str, ...]] = ("pixels", "regions")
    uses: ClassVar[tuple[str, ...]] = ("phrase_regions",)
    gives: ClassVar[tuple[str, ...]] = ("masks",)
    version: ClassVar[int] = 1
    deterministic: ClassVar[bool] = True
    code_licence: ClassVar[str] = "apache-2.0"  # of this engine and of transformers

    def __init__(
        self,
        *,
        checkpoint: str,
        revision: str = "",
        min_score: Share = 0.1,
        min_side: Amount = 2.0,
        min_quality: Share = 0.5,
        multimask: bool = False,
        inside_box: bool = False,
        boxes_at_once: Number = 64,
        dtype: Dtype = "float32",
        compile: bool = False,  # noqa: A002 - the name that recipes use
        batch_size: int = 8,
        cpus: float = 1.0,
        gpus: float = 0.0,
        timeout_s: float = 600.0,
    ) -> None:
        self.source = Checkpoint(checkpoint, revision)
        self.selection = Selection(sys.maxsize, min_score, min_side, max_area=1.0)
        self.min_quality, self.multimask, self.inside_box = min_quality, multimask, inside_box
        self.boxes_at_once, self.dtype, self.compile = boxes_at_once, dtype, compile
        self.batch_size, self.cpus, self.gpus, self.timeout_s = batch_size, cpus, gpus, timeout_s

    @property
    def weights_licence(self) -> str:
        return licence_of(self.source.name)

    @cached_property
    def weights(self) -> tuple[str, ...]:
        return self.source.weights

    @cached_property
    def resolved(self) -> Mapping[str, str]:
        return self.source.resolved

    def load(self) -> None:
        from transformers import AutoModelForMaskGeneration, BaseImageProcessor

        self.model: Any = self.source.load_model(
            AutoModelForMaskGeneration, gpus=self.gpus, dtype=self.dtype, cpus=self.cpus
        )
        if type(self.model).__name__ not in CLASSES:
            raise StartError(
                f"'{self.source.name}' is a {type(self.model).__name__}, expected {', '.join(CLASSES[:-1])} or "
                f"{CLASSES[-1]}: give a checkpoint such as facebook/sam2.1-hiera-small."
            )
        self.side = int(self.model.config.prompt_encoder_config.image_size)
        self.mean, self.deviation = _normalisation(self.source.load(BaseImageProcessor), self.source.name)
        if self.compile:
            self.model.vision_encoder.compile()

    def annotate(self, batch: Sequence[Sample]) -> list[Answer]:
        return [self._masks_of(sample) for sample in batch]

    def _masks_of(self, sample: Sample) -> Answer:
        answer, regions = Answer(), self.selection.regions(sample)
        if not regions:
            return answer
        for region, (mask, iou) in zip(regions, self._outlines(pixels_of(sample), regions), strict=True):
            if self.inside_box:
                mask = _cut(mask, region)
            if iou >= self.min_quality and mask.any():
                answer.regions.append(_masked(region, masks.encode(mask), iou, str(len(answer.regions))))
        return answer

    def _outlines(self, pixels: Pixels, regions: Sequence[Region]) -> Iterator[tuple[masks.Mask, float]]:
        """The mask of each region and its predicted IoU, in the same order."""
        import torch

        height, width = pixels.shape[:2]
        boxes = torch.tensor([box_of(region) for region in regions], dtype=torch.float32)
        boxes *= torch.tensor([self.side / width, self.side / height] * 2)
        with torch.inference_mode():
            image = self.model.get_image_embeddings(self._prepared(pixels))
            for some in (boxes[at : at + self.boxes_at_once] for at in range(0, len(boxes), self.boxes_at_once)):
                prompts = some[None].to(self.model.device)
                found = self.model(image_embeddings=image, input_boxes=prompts, multimask_output=self.multimask)
                ious = found.iou_scores[0].float()
                best = ious.argmax(dim=1)
                for row, choice in enumerate(best.tolist()):
                    # Masks are enlarged one at a time, because all at full size would need gigabytes.
                    mask = full_size(found.pred_masks[0, row, choice], height, width)
                    yield mask, min(1.0, max(0.0, float(ious[row, choice])))

    def _prepared(self, pixels: Pixels) -> Tensor:
        """The network's input, 1 x 3 x side x side, as Sam2ImageProcessor and Sam3ImageProcessor make it."""
        import torch

        image = torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1)[None].contiguous()
        image = torch.nn.functional.interpolate(image, (self.side, self.side), mode="bilinear", antialias=True)
        scaled = (image.float() - 255 * self.mean) / (255 * self.deviation)
        return scaled.to(self.model.device, self.model.dtype)


def full_size(logits: Tensor, height: int, width: int) -> masks.Mask:
    """The mask of the whole image. The network's small logits are enlarged bilinearly, and pixels above 0 are set.

    Only the part around positive logits is enlarged, because a photo of 12 megapixels may have thousands of small
    masks.
    """
    mask: masks.Mask = np.zeros((height, width), np.bool_, order="F")  # column by column, the order of run-lengths
    small = logits.float()
    positive = small > 0
    if positive.any():
        rows, columns = _Axis.of(positive.any(dim=1), height), _Axis.of(positive.any(dim=0), width)
        large = columns.enlarged(rows.enlarged(small).T)  # transposed: columns x rows
        mask[rows.start : rows.stop, columns.start : columns.stop] = (large > 0).cpu().numpy().T
    return mask


@dataclass(frozen=True, slots=True)
class _Axis:
    """Pixels [start, stop) along one side of an image. For each pixel, `low` and `high` are the entries of the small
    mask on both sides of it.
    """

    start: int
    stop: int
    low: Tensor
    high: Tensor
    weight: Tensor  # weight of the entry `high`; `low` has the rest

    @classmethod
    def of(cls, positive: Tensor, size: int) -> _Axis:
        """The pixels that a positive entry may affect. `positive`: for each entry of the small mask, whether it is
        positive. `size`: length of the image's side in pixels.
        """
        import torch

        (found,) = positive.nonzero(as_tuple=True)
        scale = len(positive) / size
        start = max(0, int((int(found[0]) - 0.5) / scale - 0.5))
        stop = min(size, int((int(found[-1]) + 1.5) / scale - 0.5) + 2)
        at = ((torch.arange(start, stop, device=positive.device) + 0.5) * scale - 0.5).clamp(min=0)
        low = at.long()
        return cls(start, stop, low, (low + 1).clamp(max=len(positive) - 1), (at - low)[:, None])

    def enlarged(self, values: Tensor) -> Tensor:
        """Interpolates values of the small mask along its first axis, at the pixels [start, stop)."""
        return values[self.low] * (1 - self.weight) + values[self.high] * self.weight


def _normalisation(settings: Any, name: str) -> tuple[Tensor, Tensor]:
    """The mean and deviation of each channel, from 0 to 1, as 3 x 1 x 1. Raises StartError if the checkpoint
    has none.
    """
    import torch

    mean, deviation = getattr(settings, "image_mean", None), getattr(settings, "image_std", None)
    if not mean or not deviation:
        raise StartError(
            f"'{name}' does not name `image_mean` and `image_std`: expected them in its preprocessor_config.json or "
            "processor_config.json."
        )
    return torch.tensor(mean)[:, None, None], torch.tensor(deviation)[:, None, None]


def _cut(mask: masks.Mask, region: Region) -> masks.Mask:
    """The mask without the part outside the pixels that the box touches."""
    rows = slice(max(0, int(np.floor(region.y1))), int(np.ceil(region.y2)))
    columns = slice(max(0, int(np.floor(region.x1))), int(np.ceil(region.x2)))
    inside = np.zeros_like(mask)
    inside[rows, columns] = mask[rows, columns]
    return inside


def _masked(region: Region, rle: str, iou: float, local_id: str) -> Region:
    mask = Region(*box_of(region), region.label, region.kind, rle=rle, merged_into=region.id)
    mask.id, mask.score, mask.score_kind, mask.parents = local_id, iou, SCORE_KIND, [region.id]
    return mask
