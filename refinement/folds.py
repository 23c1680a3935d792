"""Assigns images to folds by their id. A student judges only the images of the fold that it was not trained on.

An id is a digest of the image's bytes. So folds are random, and an image stays in its fold when images are added.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from engine.errors import ConfigError

_DIGITS = 8  # hex digits at the end of the id


def fold_of(image_id: str, folds: int) -> int:
    """The fold of an image, from 0 to folds - 1. Raises ConfigError if `folds` is below 1, and ValueError if the id
    does not end in eight hex digits.
    """
    if folds < 1:
        raise ConfigError(
            f"refine.folds is {folds}, expected 1 or more: give 2, or 1 to let a student judge its own images."
        )
    return int(image_id[-_DIGITS:], 16) % folds


def folds_of(image_ids: Iterable[str], folds: int) -> npt.NDArray[np.int64]:
    """The fold of each image, in the same order."""
    return np.fromiter((fold_of(image_id, folds) for image_id in image_ids), np.int64)
