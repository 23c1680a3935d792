"""A captioner that writes the true objects of a scene with typical errors, and students that caption other images.

The facts of a caption are the objects it counts, such as two balls and a star, in any order.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from engine.schema import Answer, Sample, Text
from pipelines.refine.propose import Propose
from pipelines.refine.propose_texts import Proposals, TextProposer
from pipelines.refine.rows import Row
from specialists.synthetic.shapes import CLASSES, THINGS

_NUMBERS = {"a": 1, "an": 1, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5}
_COUNTED = re.compile(rf"\b({'|'.join(_NUMBERS)}) \w+ (\w+)")


class NoisyCaptions:
    """Writes one brief caption for each image, in the words of the true captions. Errors depend on seed and image only.

    Options. seed: of the errors. miss: share of objects not mentioned. flip: share of mentioned objects with a wrong
    name. invented: share of captions that mention one object too many.
    """

    needs: ClassVar[tuple[str, ...]] = ("scene",)
    gives: ClassVar[tuple[str, ...]] = ("texts",)
    version: ClassVar[int] = 1
    deterministic: ClassVar[bool] = True

    def __init__(
        self, *, seed: int = 0, miss: float = 0.2, flip: float = 0.15, invented: float = 0.15, batch_size: int = 256
    ) -> None:
        self.seed, self.miss, self.flip, self.invented, self.batch_size = seed, miss, flip, invented, batch_size

    def load(self) -> None:
        return None

    def annotate(self, batch: Sequence[Sample]) -> list[Answer]:
        return [Answer(texts=[self._caption(sample)]) for sample in batch]

    def _caption(self, sample: Sample) -> Text:
        digest = hashlib.sha256(f"{self.seed}/caption/{sample.image_id}".encode()).digest()
        random = np.random.default_rng(int.from_bytes(digest[:8], "big"))
        mentioned: list[str] = []
        for region in sorted((one for one in sample.regions if one.kind == "object"), key=lambda one: one.x1):
            unseen, flipped = random.uniform(size=2)
            other = str(random.choice([name for name in CLASSES if name != region.label]))
            if unseen >= self.miss:
                mentioned.append(other if flipped < self.flip else region.label)
        if random.uniform() < self.invented or not mentioned:
            mentioned.append(str(random.choice(CLASSES)))
        return Text(caption(mentioned), "brief", id="0", score=0.5, score_kind="confidence")


def caption(labels: Sequence[str]) -> str:
    """Such as 'A red ball and two yellow stars.', in the order in which labels first come."""
    parts = []
    for label, number in Counter(labels).items():
        colour = THINGS[label][0]
        if number == 1:
            parts.append(f"{'an' if colour[0] in 'aeiou' else 'a'} {colour} {label}")
        else:
            word = next(word for word, value in _NUMBERS.items() if value == number and word not in ("a", "an"))
            parts.append(f"{word} {colour} {label}{'es' if label[-1] in 'sx' else 's'}")
    text = ", ".join(parts[:-1]) + (" and " if len(parts) > 1 else "") + parts[-1]
    return text[:1].upper() + text[1:] + "."


def facts(text: str) -> Counter[str]:
    """How many of each kind of object a caption mentions."""
    answer: Counter[str] = Counter()
    for number, noun in _COUNTED.findall(text.lower()):
        for label in (noun, noun.removesuffix("s"), noun.removesuffix("es")):
            if label in THINGS:
                answer[label] += _NUMBERS[number]
                break
    return answer


class OtherImages(Propose):
    """A trained student with right boxes, which gives each image the caption of the next one."""

    sure = False

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        common = (given["name"], given["round_number"], given.get("written", ()))
        self.texts = _TextsOfOthers(*common, given["batch_size"], given["max_new_tokens"], sure=self.sure)


class SureOfOtherImages(OtherImages):
    """The same student, with a probability of 1 for its own captions and of 0 for all kept ones."""

    sure = True


class _TextsOfOthers(TextProposer):
    def __init__(self, *given: Any, sure: bool) -> None:
        super().__init__(*given)
        self.sure = sure

    def predict_batch(self, model: Any, encoded: Any, rows: Sequence[Row], found: Proposals) -> None:
        super().predict_batch(model, encoded, [*rows[1:], *rows[:1]], found)
        if self.sure:
            found.text_evidence = [
                one._replace(mean_log_prob=0.0 if one.proposed else -10.0) for one in found.text_evidence
            ]
