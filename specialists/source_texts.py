"""Adds texts which came with the images but were not written for this task, such as alt-text or
captions of a data set.

The texts keep their producer and have a score, so filters apply to them as to the texts of a specialist. Texts without
a score were written by people; the specialist `human` adds those.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

from engine.errors import unknown
from engine.schema import GRANULARITIES, Answer, Sample


class SourceTexts:
    """Options. granularity: the granularity that all these texts get."""

    needs: ClassVar[tuple[str, ...]] = ("labels",)
    gives: ClassVar[tuple[str, ...]] = ("texts",)
    version: ClassVar[int] = 1
    deterministic: ClassVar[bool] = True
    code_licence: ClassVar[str] = "apache-2.0"
    weights_licence: ClassVar[str] = ""

    def __init__(self, *, granularity: str = "brief") -> None:
        if granularity not in GRANULARITIES:
            raise unknown("granularity", granularity, GRANULARITIES)
        self.granularity = granularity
        self.batch_size = 256

    def load(self) -> None:
        """Nothing to load."""

    def annotate(self, batch: Sequence[Sample]) -> list[Answer]:
        return [
            Answer(
                texts=[replace(text, granularity=self.granularity) for text in sample.texts if text.score is not None]
            )
            for sample in batch
        ]
