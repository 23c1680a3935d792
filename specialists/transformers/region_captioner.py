"""Writes texts for regions with a small captioner. The captioner gets the crop of each region.

In the paper's data engine these texts are candidates: `image_text_scorer` compares them with the crop and chooses the
best. Crops of all images of a batch run together, and each text is added to the region of its crop.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import ClassVar

from engine.config.ranges import Amount, Number, Share
from engine.records.boxes import area, box_of, clipped
from engine.schema import Answer, Region, RegionText, Sample
from specialists.masks.crops import crop
from specialists.pixels import Pixels, pixels_of
from specialists.transformers.checkpoint import EXTRA, PACKAGES, Checkpoint, Dtype
from specialists.transformers.licences import licence_of
from specialists.transformers.writing import SCORE_KIND, Decoding, Writer, Written, malformed

PROMPT = "Name what the image shows in a few words."  # affects the answers: raise `version` when it changes


class RegionCaptioner:
    """Writes one text for each object region.

    Checkpoints: those of `hf_captioner`. Salesforce/blip-image-captioning-large is small and was trained on captions of
    COCO. An alternative is the specialist `florence2` with the task <REGION_TO_DESCRIPTION>, which uses the whole
    image.

    Options. checkpoint: a folder or a hub id. revision: revision of a hub id. candidates: whether texts get the
    granularity `candidate` instead of `brief`. min_score, min_side: regions with a lower score, or with a side of fewer
    pixels, get no text. min_score does not apply to human regions, which have no score. margin: how far a crop extends
    beyond its box on each side, as a share of the box's sides. prompt, max_new_tokens, num_beams: as in `hf_captioner`.
    By default, a checkpoint with a chat template gets a prompt for a few words. crops_at_once: crops in one pass of the
    network; fewer need less memory. dtype: number type of the weights. gpus: GPUs for each worker; with 0 the worker
    uses the CPU with `cpus` threads.
    """

    packages: ClassVar[tuple[str, ...]] = PACKAGES
    extra: ClassVar[str] = EXTRA
    score_names: ClassVar[tuple[str, ...]] = ("malformed",)
    needs: ClassVar[tuple[str, ...]] = ("pixels", "regions")
    gives: ClassVar[tuple[str, ...]] = ("region_texts", "image_scores")
    version: ClassVar[int] = 1
    deterministic: ClassVar[bool] = False  # the last digits of a score depend on the rest of the batch
    code_licence: ClassVar[str] = "apache-2.0"  # of this engine and of transformers

    def __init__(
        self,
        *,
        checkpoint: str,
        revision: str = "",
        candidates: bool = False,
        min_score: Share = 0.3,
        min_side: Amount = 16.0,
        margin: Amount = 0.1,
        prompt: str = "",
        max_new_tokens: Number = 32,
        num_beams: Number = 1,
        crops_at_once: Number = 32,
        dtype: Dtype = "float32",
        batch_size: int = 16,
        cpus: float = 1.0,
        gpus: float = 0.0,
        timeout_s: float = 600.0,
    ) -> None:
        self.source = Checkpoint(checkpoint, revision)
        self.granularity = "candidate" if candidates else "brief"
        self.min_score, self.min_side, self.margin, self.prompt = min_score, min_side, margin, prompt
        self.decoding, self.crops_at_once, self.dtype = Decoding(max_new_tokens, num_beams), crops_at_once, dtype
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
        self.writer = Writer(self.source, self.decoding, dtype=self.dtype, cpus=self.cpus, gpus=self.gpus)
        if self.writer.chats and not self.prompt:
            self.prompt = PROMPT

    def annotate(self, batch: Sequence[Sample]) -> list[Answer]:
        crops = [(number, region) for number, sample in enumerate(batch) for region in self._regions(sample)]
        # Crops of similar size are put together, which needs the least padding. Equal sizes keep their order.
        crops.sort(key=lambda one: area(box_of(one[1])))
        answers, faults = [Answer() for _ in batch], [Counter[str]() for _ in batch]
        for start in range(0, len(crops), self.crops_at_once):
            some = crops[start : start + self.crops_at_once]
            texts = self.writer.write([self._crop(batch[number], region) for number, region in some], self.prompt)
            for (number, region), found in zip(some, texts, strict=True):
                if found.fault:
                    faults[number][found.fault] += 1
                else:
                    answers[number].region_texts.append(self._text(region, found))
        for sample, answer, fault in zip(batch, answers, faults, strict=True):
            place = {region.id: row for row, region in enumerate(sample.regions)}
            answer.region_texts.sort(key=lambda text: place[text.region_id])
            answer.image_scores = malformed(fault)
        return answers

    def _regions(self, sample: Sample) -> list[Region]:
        return [
            region
            for region in sample.regions
            if region.kind == "object"
            and not region.merged_into
            and (region.score is None or region.score >= self.min_score)
            and self._large_enough(region, sample)
        ]

    def _large_enough(self, region: Region, sample: Sample) -> bool:
        """Whether the part of the region inside the image is large enough. A human region may reach outside."""
        x1, y1, x2, y2 = clipped(box_of(region), sample.width, sample.height)
        shorter = min(x2 - x1, y2 - y1)
        return shorter > 0 and shorter >= self.min_side

    def _crop(self, sample: Sample, region: Region) -> Pixels:
        return crop(pixels_of(sample), region, self.margin).pixels

    def _text(self, region: Region, found: Written) -> RegionText:
        text = RegionText(region.id, found.text, self.granularity, parents=[region.id])
        text.score, text.score_kind = found.score, SCORE_KIND
        return text
