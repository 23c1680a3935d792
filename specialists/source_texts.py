"""Passes on the texts of the source that were not written for this task: alt-text of the web, captions of a data set.

They keep their producer and have a score, so filters judge them like any specialist's texts. `human` passes on the
texts without a score.
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
