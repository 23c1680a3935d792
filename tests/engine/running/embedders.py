"""Components that give or read embeddings. Their module is small, because each worker imports it."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from engine.schema import Answer, ImageScore, Sample
from specialists.synthetic.fakes import FakeEmbedder


class Embedder(FakeEmbedder):
    """`raise_on`, `crash_on`: image ids. `fixed`: a file; once it exists, no image fails. `fits`: largest batch."""

    def __init__(
        self,
        *,
        raise_on: Sequence[str] = (),
        crash_on: Sequence[str] = (),
        fixed: str = "",
        fits: int = 100,
        size: int = 8,
        batch_size: int = 4,
    ) -> None:
        super().__init__(size=size, batch_size=batch_size)
        self.raise_on, self.crash_on, self.fixed, self.fits = raise_on, crash_on, fixed, fits

    def annotate(self, batch: Sequence[Sample]) -> list[Answer]:
        if len(batch) > self.fits:
            raise MemoryError
        if not (self.fixed and Path(self.fixed).exists()):
            for sample in batch:
                if sample.image_id in self.crash_on:
                    os.kill(os.getpid(), signal.SIGKILL)
                if sample.image_id in self.raise_on:
                    raise ValueError("no vector for this one")
        return super().annotate(batch)


class Sizeless(FakeEmbedder):
    def __init__(self, *, batch_size: int = 4) -> None:
        super().__init__(batch_size=batch_size)
        del self.embedding_size


class Reader:
    """The largest part of the embedding as a score."""

    needs, gives, version, deterministic = ("embeddings",), ("image_scores",), 1, True

    def load(self) -> None: ...

    def annotate(self, batch: Sequence[Sample]) -> list[Answer]:
        return [Answer(image_scores=[_largest(sample)]) for sample in batch]


def _largest(sample: Sample) -> ImageScore:
    assert sample.embedding is not None
    assert sample.embedding.dtype == np.float32
    return ImageScore("largest", float(sample.embedding.max()), score=1.0)
