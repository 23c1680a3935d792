from __future__ import annotations

import hashlib

import numpy as np
import pytest

from engine.errors import ConfigError
from refinement.folds import fold_of, folds_of

IDS = [hashlib.sha256(str(number).encode()).hexdigest()[:32] for number in range(2000)]


def test_a_fold_depends_on_the_image_only() -> None:
    assert [fold_of(f"{number:032x}", 3) for number in range(6)] == [0, 1, 2, 0, 1, 2]


def test_folds_are_about_equally_large() -> None:
    counts = np.bincount(folds_of(IDS, 4))
    assert counts.min() > 430
    assert counts.sum() == 2000


def test_folds_of_many_images_equal_those_of_each() -> None:
    assert folds_of(IDS[:50], 2).tolist() == [fold_of(name, 2) for name in IDS[:50]]
    assert folds_of([], 2).tolist() == []


def test_zero_folds_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"refine\.folds is 0, expected 1 or more"):
        fold_of(IDS[0], 0)
