"""Specialists without weights, for tests, the guide and a first run. Their answers depend on a hash of the image's id.

`Faulty` fails in all the ways in which components fail in practice. It can crash its process, so run it in a separate
one.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from engine.schema import Answer, Region, Sample, Text
from specialists.english import NUMBERS

_LABELS = ("cat", "dog", "cup", "car", "tree", "boat")


def _random(image_id: str, seed: int) -> np.random.Generator:
    return np.random.default_rng(int.from_bytes(hashlib.sha256(f"{seed}/{image_id}".encode()).digest()[:8], "big"))


class FakeDetector:
    """Gives boxes that depend only on the image's id.

    Options:
        objects: number of boxes for each image.
        seed: another seed gives other boxes.
        labels: the class names; [] for six everyday objects.
    """

    needs: ClassVar[tuple[str, ...]] = ("pixels",)
    uses: ClassVar[tuple[str, ...]] = ()
    gives: ClassVar[tuple[str, ...]] = ("boxes",)
    version: ClassVar[int] = 1
    key_name: ClassVar[str] = "specialists.fakes:FakeDetector"
    deterministic: ClassVar[bool] = True
    code_licence: ClassVar[str] = "apache-2.0"
    weights_licence: ClassVar[str] = ""

    def __init__(
        self,
        *,
        objects: int = 3,
        seed: int = 0,
        labels: Sequence[str] = (),
        batch_size: int = 16,
        timeout_s: float = 120.0,
        cpus: float = 1.0,
        gpus: float = 0.0,
    ) -> None:
        self.objects, self.seed, self.labels = objects, seed, tuple(labels) or _LABELS
        self.batch_size, self.timeout_s, self.cpus, self.gpus = batch_size, timeout_s, cpus, gpus

    def load(self) -> None:
        return None

    def annotate(self, batch: Sequence[Sample]) -> list[Answer]:
        return [self._answer(sample, _random(sample.image_id, self.seed)) for sample in batch]

    def _answer(self, sample: Sample, random: np.random.Generator) -> Answer:
        answer = Answer()
        for number in range(self.objects):
            left, top, width, height = (
                float(share) for share in random.uniform((0, 0, 0.2, 0.2), (0.6, 0.6, 0.4, 0.4))
            )
            x, y = left * sample.width, top * sample.height
            label = self.labels[int(random.integers(len(self.labels)))]
            region = Region(x, y, x + width * sample.width, y + height * sample.height, label, id=str(number))
            region.score, region.score_kind = float(random.uniform(0.3, 1.0)), "confidence"
            answer.regions.append(region)
        return answer


class NoOp:
    """Gives empty answers, to measure the cost of decoding images and of the engine itself."""

    needs: ClassVar[tuple[str, ...]] = ("pixels",)
    uses: ClassVar[tuple[str, ...]] = ()
    gives: ClassVar[tuple[str, ...]] = ("tags",)
    version: ClassVar[int] = 1
    key_name: ClassVar[str] = "specialists.fakes:NoOp"
    deterministic: ClassVar[bool] = True
    code_licence: ClassVar[str] = "apache-2.0"
    weights_licence: ClassVar[str] = ""

    def __init__(self, *, batch_size: int = 16, cpus: float = 1.0) -> None:
        self.batch_size, self.cpus = batch_size, cpus

    def load(self) -> None:
        return None

    def annotate(self, batch: Sequence[Sample]) -> list[Answer]:
        return [Answer() for _ in batch]


class FakeCaptioner:
    """Gives one text of each granularity. Texts depend only on the image's id.

    Options:
        seed: another seed gives other texts.
    """

    needs: ClassVar[tuple[str, ...]] = ("pixels",)
    uses: ClassVar[tuple[str, ...]] = ()
    gives: ClassVar[tuple[str, ...]] = ("texts",)
    version: ClassVar[int] = 1
    key_name: ClassVar[str] = "specialists.fakes:FakeCaptioner"
    deterministic: ClassVar[bool] = True
    code_licence: ClassVar[str] = "apache-2.0"
    weights_licence: ClassVar[str] = ""

    def __init__(self, *, seed: int = 0, batch_size: int = 16) -> None:
        self.seed, self.batch_size = seed, batch_size

    def load(self) -> None:
        return None

    def annotate(self, batch: Sequence[Sample]) -> list[Answer]:
        return [self._answer(_random(sample.image_id, self.seed)) for sample in batch]

    def _answer(self, random: np.random.Generator) -> Answer:
        first, second = (_LABELS[int(number)] for number in random.choice(len(_LABELS), 2, replace=False))
        count = NUMBERS[1 + int(random.integers(1, 10))]
        brief = f"A {first} and {count} {second}s."
        detailed = f"{brief} The {first} stands before the {second}s."
        texts = (brief, detailed, f"{detailed} Behind them lies an open field under a grey sky.")
        kinds = ("brief", "detailed", "more_detailed")
        return Answer(
            texts=[
                Text(text, kind, id=str(number), score=float(random.uniform(0.5, 1.0)), score_kind="confidence")
                for number, (text, kind) in enumerate(zip(texts, kinds, strict=True))
            ]
        )


class FakeEmbedder:
    """Gives a vector of unit length that depends only on the image's id. Its numbers are drawn from a normal
    distribution.

    Options:
        size: how many numbers a vector has.
        seed: another seed gives other vectors.
    """

    needs: ClassVar[tuple[str, ...]] = ("pixels",)
    gives: ClassVar[tuple[str, ...]] = ("embeddings",)
    version: ClassVar[int] = 1
    deterministic: ClassVar[bool] = True
    code_licence: ClassVar[str] = "apache-2.0"
    weights_licence: ClassVar[str] = ""

    def __init__(self, *, size: int = 8, seed: int = 0, batch_size: int = 16) -> None:
        self.embedding_size, self.seed, self.batch_size = size, seed, batch_size

    def load(self) -> None:
        return None

    def annotate(self, batch: Sequence[Sample]) -> list[Answer]:
        return [Answer(embedding=self._vector(sample)) for sample in batch]

    def _vector(self, sample: Sample) -> npt.NDArray[np.float32]:
        vector = _random(sample.image_id, self.seed).normal(size=self.embedding_size).astype(np.float32)
        return vector / np.float32(np.linalg.norm(vector))


class Faulty(FakeDetector):
    """A FakeDetector that fails on request.

    Options (in addition to FakeDetector's):
        segfault_on, raise_on, hang_on: prefixes of image ids; a batch with such an image crashes, raises or hangs.
        out_of_memory_above: batches of more images than this raise MemoryError; 0: never.
        sick_from: after this many answered images the object raises on every image; -1: never.
        random_answers: gives other boxes on every call, although it declares itself deterministic.
        start_fails: `load` raises.
        slow_s: seconds that each image takes.
        journal: a file that gets a line "<process id> <image id>" for each answered image.
    """

    key_name: ClassVar[str] = "specialists.fakes:Faulty"

    def __init__(
        self,
        *,
        segfault_on: Sequence[str] = (),
        raise_on: Sequence[str] = (),
        hang_on: Sequence[str] = (),
        out_of_memory_above: int = 0,
        sick_from: int = -1,
        random_answers: bool = False,
        start_fails: bool = False,
        slow_s: float = 0.0,
        journal: str = "",
        objects: int = 3,
        seed: int = 0,
        labels: Sequence[str] = (),
        batch_size: int = 16,
        timeout_s: float = 120.0,
        cpus: float = 1.0,
        gpus: float = 0.0,
    ) -> None:
        super().__init__(
            objects=objects,
            seed=seed,
            labels=labels,
            batch_size=batch_size,
            timeout_s=timeout_s,
            cpus=cpus,
            gpus=gpus,
        )
        self.segfault_on, self.raise_on, self.hang_on = tuple(segfault_on), tuple(raise_on), tuple(hang_on)
        self.out_of_memory_above, self.sick_from = out_of_memory_above, sick_from
        self.start_fails, self.slow_s, self.journal = start_fails, slow_s, journal
        self.random_answers = random_answers
        self._answered = 0

    def load(self) -> None:
        if self.start_fails:
            raise RuntimeError("start_fails is set")

    def annotate(self, batch: Sequence[Sample]) -> list[Answer]:
        self._fail(batch)
        time.sleep(self.slow_s * len(batch))
        if self.random_answers:
            answers = [self._answer(sample, np.random.default_rng()) for sample in batch]
        else:
            answers = super().annotate(batch)
        self._answered += len(batch)
        if self.journal:
            with Path(self.journal).open("a") as file:
                file.write("".join(f"{os.getpid()} {sample.image_id}\n" for sample in batch))
        return answers

    def _fail(self, batch: Sequence[Sample]) -> None:
        if 0 < self.out_of_memory_above < len(batch):
            raise MemoryError(f"{len(batch)} images at once")
        if 0 <= self.sick_from <= self._answered:
            raise RuntimeError("this worker fails on every image")
        if _any(batch, self.segfault_on):
            _segfault()
        if _any(batch, self.hang_on):
            _hang()
        if _any(batch, self.raise_on):
            raise ValueError("raise_on names this image")


def _any(batch: Sequence[Sample], prefixes: tuple[str, ...]) -> bool:
    return any(sample.image_id.startswith(prefixes) for sample in batch) if prefixes else False


def _segfault() -> None:
    import ctypes

    ctypes.string_at(0)


def _hang() -> None:
    """Hangs forever while holding the GIL, so that no other thread and no Python signal handler can run."""
    import ctypes

    library = ctypes.PyDLL(None)  # unlike CDLL it keeps the GIL
    while True:
        library.sleep(10**6)
