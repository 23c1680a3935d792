"""The labels that came with the source, as they are: boxes and texts by people, without scores.

The engine hands them over in the sample's own columns; masks arrive in `Region.rle` already. A crowd stays one, by its
`score_kind`. What has a score no person wrote: that is for `source_texts`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

from engine.schema import Answer, Sample


class Human:
    """No options."""

    needs: ClassVar[tuple[str, ...]] = ("labels",)
    gives: ClassVar[tuple[str, ...]] = ("boxes", "texts")
    version: ClassVar[int] = 2
    deterministic: ClassVar[bool] = True

    def __init__(self) -> None:
        self.batch_size = 256

    def load(self) -> None:
        """Nothing to load."""

    def annotate(self, batch: Sequence[Sample]) -> list[Answer]:
        return [
            Answer(
                texts=[replace(text, score_kind="") for text in sample.texts if text.score is None],
                regions=[region for region in sample.regions if region.score is None],
            )
            for sample in batch
        ]
