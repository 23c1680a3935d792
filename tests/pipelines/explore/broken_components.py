"""Specialists that fail to start, lack a package, or fail on every image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from engine.errors import StartError
from engine.schema import Answer, Sample
from specialists.synthetic.fakes import FakeDetector

BROKEN = "tests.pipelines.explore.broken_components"


class Unstartable(FakeDetector):
    """Fails to load."""

    def load(self) -> None:
        raise RuntimeError("no such weights")


class Uninstalled(FakeDetector):
    """Lacks a package."""

    def load(self) -> None:
        raise StartError("this needs nothing-at-all, which is not installed: pip install nothing-at-all.")


class Unanswering:
    """Loads, but fails on every image."""

    needs: ClassVar[tuple[str, ...]] = ("pixels",)
    gives: ClassVar[tuple[str, ...]] = ("boxes",)
    version: ClassVar[int] = 1
    deterministic: ClassVar[bool] = True

    def load(self) -> None:
        return None

    def annotate(self, batch: Sequence[Sample]) -> list[Answer]:
        raise ValueError("these are no pixels")
