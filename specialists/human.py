"""Passes on the human labels of the source unchanged: boxes and texts without a score.

The engine puts the labels into the sample, including masks (`Region.rle`). A crowd is still marked by its `score_kind`.
Source labels with a score were not made by people; `source_texts` passes those on.
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
    code_licence: ClassVar[str] = "apache-2.0"
    weights_licence: ClassVar[str] = ""

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
