"""Embeds images with SigLIP 2, CLIP, DINOv2 or a similar checkpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import ClassVar

from engine.schema import Answer, Sample
from specialists.pixels import pixels_of
from specialists.transformers.checkpoint import EXTRA, PACKAGES, Checkpoint, Dtype
from specialists.transformers.dual_encoder import ImageEncoder
from specialists.transformers.licences import licence_of


class Embed:
    """Gives one vector of unit length for each image. The vectors serve to find near-duplicates by meaning and to
    search in SQL.

    Checkpoints (`AutoModel`): google/siglip2-base-patch16-224 (Apache-2.0, 768 numbers, 1.5 GB of weights in float32),
    google/siglip2-so400m-patch14-384 (1,152 numbers, 4.5 GB), openai/clip-vit-large-patch14 (MIT, 768 numbers, 1.7 GB),
    facebook/dinov2-base (Apache-2.0, 768 numbers, 0.3 GB, cannot embed texts). `image_text_scorer` gives the same
    embeddings.

    Options. checkpoint: a folder or a hub id. revision: revision of a hub id. dtype: number type of the weights.
    compile: compiles the network. batch_size: images in one pass of the network. gpus: GPUs for each worker; with 0 the
    worker uses the CPU with `cpus` threads.
    """

    needs: tuple[str, ...] = ("pixels",)
    gives: tuple[str, ...] = ("embeddings",)
    packages: tuple[str, ...] = PACKAGES
    extra: str = EXTRA
    version: ClassVar[int] = 1
    deterministic: ClassVar[bool] = False  # the last digits depend on the rest of the batch
    code_licence: ClassVar[str] = "apache-2.0"  # of this engine and of transformers

    def __init__(
        self,
        *,
        checkpoint: str,
        revision: str = "",
        dtype: Dtype = "float32",
        compile: bool = False,  # noqa: A002 - the name that recipes use
        batch_size: int = 16,
        cpus: float = 1.0,
        gpus: float = 0.0,
        timeout_s: float = 600.0,
    ) -> None:
        self.source = Checkpoint(checkpoint, revision)
        self.dtype, self.compile = dtype, compile
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
        self.encoder = ImageEncoder(
            self.source,
            dtype=self.dtype,
            gpus=self.gpus,
            cpus=self.cpus,
            compiled=self.compile,
            at_once=self.batch_size,
        )
        self.embedding_size = self.encoder.size

    def annotate(self, batch: Sequence[Sample]) -> list[Answer]:
        return [Answer(embedding=vector) for vector in self.encoder.images([pixels_of(sample) for sample in batch])]
