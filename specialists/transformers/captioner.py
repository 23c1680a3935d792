"""Writes captions with a checkpoint such as BLIP, GIT, SmolVLM or Qwen-VL.

A text that was cut off at `max_new_tokens` is left out, not repaired. It is counted in the image score `malformed`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import ClassVar, Literal

from engine.config.ranges import Number
from engine.schema import Answer, Sample, Text
from specialists.pixels import pixels_of
from specialists.transformers.checkpoint import EXTRA, PACKAGES, Checkpoint, Dtype
from specialists.transformers.licences import licence_of
from specialists.transformers.writing import SCORE_KIND, Decoding, Writer, Written, malformed

Granularity = Literal["brief", "detailed", "more_detailed"]
PROMPTS: dict[str, str] = {  # raise `version` when a prompt changes, because answers depend on it
    "brief": "Describe the image in one short sentence.",
    "detailed": "Describe the image in two or three sentences.",
    "more_detailed": "Describe the image in a paragraph: its objects, their colours and places, and what happens.",
}


class HfCaptioner:
    """Writes one text for each image.

    Checkpoints (`AutoModelForImageTextToText`). For brief texts: Salesforce/blip-image-captioning-large
    (`BlipForConditionalGeneration`, BSD-3-Clause, 1.9 GB of weights in float32), microsoft/git-large-coco
    (`GitForCausalLM`, MIT, 1.6 GB). With a prompt, for any length: HuggingFaceTB/SmolVLM-256M-Instruct
    (`Idefics3ForConditionalGeneration`, Apache-2.0, 0.5 GB in bfloat16), HuggingFaceTB/SmolVLM2-2.2B-Instruct
    (`SmolVLMForConditionalGeneration`, Apache-2.0, 4.5 GB), Qwen/Qwen3-VL-4B-Instruct
    (`Qwen3VLForConditionalGeneration`, Apache-2.0, 9 GB); the last two also need the package torchvision. For
    Florence-2, use the specialist `florence2`.

    Options. checkpoint: a folder or a hub id. revision: revision of a hub id. granularity: the granularity of the
    texts. prompt: the prompt for the checkpoint. If it is '', a checkpoint with a chat template gets a prompt for a
    text of that granularity, and any other checkpoint gets none. BLIP and GIT read the prompt as the beginning of a
    caption and continue it; only the continuation is kept. max_new_tokens: longer texts are left out. num_beams: number
    of beams; 1 is greedy. dtype: number type of the weights. gpus: GPUs for each worker; with 0 the worker uses the CPU
    with `cpus` threads. There is no option `compile`: a text grows with each token, and torch would compile again for
    each length.
    """

    packages: ClassVar[tuple[str, ...]] = PACKAGES
    extra: ClassVar[str] = EXTRA
    score_names: ClassVar[tuple[str, ...]] = ("malformed",)
    needs: ClassVar[tuple[str, ...]] = ("pixels",)
    gives: ClassVar[tuple[str, ...]] = ("texts", "image_scores")
    version: ClassVar[int] = 1
    deterministic: ClassVar[bool] = False  # the last digits of a score depend on the rest of the batch
    code_licence: ClassVar[str] = "apache-2.0"  # of this engine and of transformers

    def __init__(
        self,
        *,
        checkpoint: str,
        revision: str = "",
        granularity: Granularity = "brief",
        prompt: str = "",
        max_new_tokens: Number = 128,
        num_beams: Number = 1,
        dtype: Dtype = "float32",
        batch_size: int = 16,
        cpus: float = 1.0,
        gpus: float = 0.0,
        timeout_s: float = 600.0,
    ) -> None:
        self.source = Checkpoint(checkpoint, revision)
        self.granularity, self.prompt = granularity, prompt
        self.decoding, self.dtype = Decoding(max_new_tokens, num_beams), dtype
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
            self.prompt = PROMPTS[self.granularity]

    def annotate(self, batch: Sequence[Sample]) -> list[Answer]:
        texts = self.writer.write([pixels_of(sample) for sample in batch], self.prompt)
        return [self._answer(text) for text in texts]

    def _answer(self, found: Written) -> Answer:
        if found.fault:
            return Answer(image_scores=malformed(Counter([found.fault])))
        return Answer(texts=[Text(found.text, self.granularity, score=found.score, score_kind=SCORE_KIND)])
