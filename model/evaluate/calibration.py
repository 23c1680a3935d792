"""Calibration of scores: measures whether 70 % of the boxes with score 0.7 are right, and fits a curve that makes it
so.

Columns: `scores`; `correct`, whether the box is right; `image`, the row of its image. Only boxes that were found count;
missed objects do not.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine.errors import EngineError
from model.evaluate.resampling import Bools, Floats, Ints


@dataclass(frozen=True, slots=True)
class Point:
    """One bin of a reliability curve: its edges, the number of its boxes, their mean score, and the share of them that
    is right.
    """

    low: float
    high: float
    count: int
    score: float
    right: float


def reliability(scores: Floats, correct: Bools, *, bins: int = 10, equal_mass: bool = False) -> list[Point]:
    """A point for each bin that contains boxes. Bins have equal width, or with `equal_mass` equal numbers of boxes."""
    edges = _edges(scores, bins, equal_mass)
    bin_ = _bin_of(scores, edges)
    answer = []
    for k in np.unique(bin_).tolist():
        here = bin_ == k
        mean, share = float(scores[here].mean()), float(correct[here].mean())
        answer.append(Point(float(edges[k]), float(edges[k + 1]), int(here.sum()), mean, share))
    return answer


def calibration_error(scores: Floats, correct: Bools, *, bins: int = 10, equal_mass: bool = False) -> float:
    """The expected calibration error (ECE): the mean distance between score and share of right boxes over all bins,
    weighted by the number of boxes. NaN if there are no boxes.
    """
    image = np.zeros(len(scores), np.int64)
    once = np.ones((1, 1), np.int64)
    return float(calibration_errors(scores, correct, image, once, bins=bins, equal_mass=equal_mass)[0])


def calibration_errors(
    scores: Floats, correct: Bools, image: Ints, counts: Ints, *, bins: int = 10, equal_mass: bool = False
) -> Floats:
    """The ECE of each resample of images (a row of `counts`), always with the same bins, which come from all boxes.

    ECE is never negative, so noise biases it upwards: it is too high if bins have few boxes.
    """
    bin_ = _bin_of(scores, _edges(scores, bins, equal_mass))
    images = counts.shape[1]
    gaps = np.bincount(bin_ * images + image, scores - correct, bins * images).reshape(bins, images)
    sizes = np.bincount(image, minlength=images)
    with np.errstate(invalid="ignore", divide="ignore"):
        errors: Floats = np.abs(counts @ gaps.T).sum(axis=1) / (counts @ sizes)
    return errors


def _edges(scores: Floats, bins: int, equal_mass: bool) -> Floats:
    if not equal_mass or not len(scores):
        return np.linspace(0, 1, bins + 1)
    edges: Floats = np.unique(np.quantile(scores, np.linspace(0, 1, bins + 1)))  # fewer bins if many scores are equal
    return edges if len(edges) > 1 else np.repeat(edges, 2)


def _bin_of(scores: Floats, edges: Floats) -> Ints:
    """The bin of each score. Lower edges are inclusive; the last bin includes its upper edge."""
    bin_: Ints = np.searchsorted(edges, scores, side="right") - 1
    return np.clip(bin_, 0, max(0, len(edges) - 2))


def fit_isotonic(scores: Floats, correct: Bools) -> tuple[Floats, Floats]:
    """Fits a piecewise linear curve that never falls, from score to share of right boxes. Returns its knots (x, y).

    One right box is added at the lowest score and one wrong box at the highest (Laplace's rule at the ends), so no y is
    exactly 0 or 1. For example, three right boxes at the top give 3/4.

    Fit one curve for each producer: in a measurement, a shared curve made the best detectors worse than no curve. Ten
    images with truth give most of the gain. With five images, scores that were already good get worse.
    """
    if not len(scores):
        raise EngineError(
            "A calibration curve needs scored boxes in images with truth, and there are none: annotate such images."
        )
    from sklearn.isotonic import IsotonicRegression

    ends = [scores.min(), scores.max()]
    curve = IsotonicRegression(y_min=0, y_max=1, increasing=True, out_of_bounds="clip")
    curve.fit(np.append(scores, ends), np.append(correct.astype(np.float64), [1.0, 0.0]))
    return _knots(np.asarray(curve.X_thresholds_, np.float64), np.asarray(curve.y_thresholds_, np.float64))


def _knots(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Removes points with a repeated x, and points on the line between their neighbours."""
    new = np.append(True, np.diff(x) > 0)
    x, y = x[new], np.maximum.accumulate(y[new])
    if len(x) < 3:
        return x, y
    slopes = np.diff(y) / np.diff(x)
    bends = np.concatenate([[True], ~np.isclose(slopes[1:], slopes[:-1], rtol=1e-9, atol=1e-12), [True]])
    return x[bends], y[bends]
