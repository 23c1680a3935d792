"""Annotates with the true labels of a drawn scene, changed by errors of given kinds and rates.

Random errors differ from image to image, so a student averages them out. `confuse` and `miss_small` are systematic
errors: a student learns them, and only trusted labels reveal them.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from statistics import NormalDist
from typing import ClassVar

import numpy as np

from engine.errors import ConfigError
from engine.records.boxes import clipped
from engine.schema import Answer, Region, Sample
from specialists.synthetic.shapes import CLASSES


class NoisyAnnotator:
    """Gives boxes made from the image's own labels, with errors. The same seed and image give the same errors.

    Options:
        seed: another seed gives another annotator with independent errors.
        miss: share of objects that get no box.
        flip: share of boxes with a wrong label; all other classes are equally likely.
        jitter: standard deviation of each coordinate, as a share of the box's side.
        false_positive: mean number of boxes for each image that contain no object (Poisson).
        duplicate: share of objects that get two boxes.
        auc: how well the scores separate correct boxes from false positives: 0.5 not at all, 0.99 nearly always.
        confuse: {class: other class}, a systematic error.
        confuse_share: share of the objects of such a class that get the other label.
        miss_small: share of small objects that get no box, in addition to `miss`.
        small_side: an object is small if its longer side is below this share of the image's shorter side.
        classes: labels for flips and false positives; [] for the ten of the synthetic world.
    """

    needs: ClassVar[tuple[str, ...]] = ("scene",)
    uses: ClassVar[tuple[str, ...]] = ()
    gives: ClassVar[tuple[str, ...]] = ("boxes",)
    version: ClassVar[int] = 1
    key_name: ClassVar[str] = "specialists.synthetic_noise:NoisyAnnotator"
    deterministic: ClassVar[bool] = True
    code_licence: ClassVar[str] = "apache-2.0"
    weights_licence: ClassVar[str] = ""

    def __init__(
        self,
        *,
        seed: int = 0,
        miss: float = 0.25,
        flip: float = 0.18,
        jitter: float = 0.12,
        false_positive: float = 0.15,
        duplicate: float = 0.06,
        auc: float = 0.72,
        confuse: Mapping[str, str] | None = None,
        confuse_share: float = 0.7,
        miss_small: float = 0.0,
        small_side: float = 0.25,
        classes: Sequence[str] = (),
        batch_size: int = 256,
    ) -> None:
        shares = {"miss": miss, "flip": flip, "duplicate": duplicate, "confuse_share": confuse_share}
        for name, value in (shares | {"miss_small": miss_small}).items():
            if not 0.0 <= value <= 1.0:
                raise ConfigError(f"The noisy annotator has {name}={value}: expected 0 to 1.")
        if not 0.5 <= auc <= 0.99:
            raise ConfigError(f"The noisy annotator has auc={auc}: expected 0.5 to 0.99.")
        if jitter < 0 or false_positive < 0:
            raise ConfigError("The noisy annotator has a negative jitter or false_positive: expected 0 or more.")
        self.seed, self.miss, self.flip, self.jitter = seed, miss, flip, jitter
        self.false_positive, self.duplicate = false_positive, duplicate
        self.confuse, self.confuse_share = dict(confuse or {}), confuse_share
        self.miss_small, self.small_side = miss_small, small_side
        self.classes = tuple(classes) or CLASSES
        self.batch_size = batch_size
        # A score is the logistic function of a normal variable. For a correct box its mean is higher by this much.
        self._score_shift = math.sqrt(2.0) * NormalDist().inv_cdf(auc)

    def load(self) -> None:
        return None

    def annotate(self, batch: Sequence[Sample]) -> list[Answer]:
        return [self._answer(sample) for sample in batch]

    def _answer(self, sample: Sample) -> Answer:
        digest = hashlib.sha256(f"{self.seed}/{sample.image_id}".encode()).digest()
        random = np.random.default_rng(int.from_bytes(digest[:8], "big"))
        answer = Answer()
        for region in sample.regions:
            if region.kind == "object":
                self._add_object(region, sample, random, answer)
        for _ in range(int(random.poisson(self.false_positive))):
            side = random.uniform(0.19, 0.38) * min(sample.width, sample.height)
            x, y = random.uniform(0, sample.width - side), random.uniform(0, sample.height - side)
            label = str(random.choice(self.classes))
            self._add(answer, sample, (x, y, x + side, y + side), label, self._score(random, real=False))
        return answer

    def _add_object(self, region: Region, sample: Sample, random: np.random.Generator, answer: Answer) -> None:
        # All random numbers are drawn, even unused ones, so that another `miss` does not change the remaining boxes.
        missed, too_small, flipped, confused, twice = random.uniform(size=5)
        label = region.label
        others = [name for name in self.classes if name != label] or [label]
        flip_to = others[int(random.integers(len(others)))]
        small = max(region.x2 - region.x1, region.y2 - region.y1) < self.small_side * min(sample.width, sample.height)
        first, second = self._shifted(region, random), self._shifted(region, random)
        scores = self._score(random, real=True), self._score(random, real=True)
        if missed < self.miss or (small and too_small < self.miss_small):
            return
        if label in self.confuse and confused < self.confuse_share:
            label = self.confuse[label]
        elif flipped < self.flip:
            label = flip_to
        self._add(answer, sample, first, label, scores[0])
        if twice < self.duplicate:
            self._add(answer, sample, second, label, scores[1])

    def _shifted(self, region: Region, random: np.random.Generator) -> tuple[float, float, float, float]:
        width, height = region.x2 - region.x1, region.y2 - region.y1
        moved = random.normal(0.0, self.jitter, 4) * (width, height, width, height)
        x1, y1, x2, y2 = (float(value) for value in np.array([region.x1, region.y1, region.x2, region.y2]) + moved)
        return min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2)

    def _score(self, random: np.random.Generator, *, real: bool) -> float:
        return 1.0 / (1.0 + math.exp(-(0.2 + float(random.normal()) + (self._score_shift if real else 0.0))))

    def _add(
        self, answer: Answer, sample: Sample, box: tuple[float, float, float, float], label: str, score: float
    ) -> None:
        x1, y1, x2, y2 = clipped(box, float(sample.width), float(sample.height))
        if x2 - x1 >= 1.0 and y2 - y1 >= 1.0:
            region = Region(x1, y1, x2, y2, label, id=str(len(answer.regions)), score=score, score_kind="confidence")
            answer.regions.append(region)
