"""The photos of COCO in the shared data, and what real detectors find on them, made once for all tests of a process."""

from __future__ import annotations

import functools

from benchmarks.detectors import DETECTORS, Photos, detect
from engine.schema import Answer
from tests.shared_data import shared


@functools.cache
def dev_photos() -> Photos:
    return Photos(shared("coco/dev"))


@functools.cache
def detected(name: str) -> list[Answer]:
    """The answers of a detector of `benchmarks.detectors` to the photos. Tests must not change them."""
    shared(f"weights/{DETECTORS[name][1]}")
    return detect(shared("weights").parent, name, dev_photos())[0]
