"""Do scores mean what they say: of boxes scored 0.7, are 70 % right? And the curve that makes it so.

Columns: `scores`, `correct` (was it right), `image` (row of the image each belongs to). Everything is about the
boxes that were found; what was missed is recall's business.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine.errors import EngineError
from model.evaluate.resampling import Bools, Floats, Ints


@dataclass(frozen=True, slots=True)
class Point:
    """One bin of a reliability curve: its edges, how many boxes, their mean score, the share of them that is right."""

    low: float
    high: float
    count: int
    score: float
    right: float


def reliability(scores: Floats, correct: Bools, *, bins: int = 10, equal_mass: bool = False) -> list[Point]:
    """Bins of equal width over 0..1, or of equally many boxes; empty ones are left out."""
    edges = _edges(scores, bins, equal_mass)
    place = _place(scores, edges)
    answer = []
    for k in np.unique(place).tolist():
        here = place == k
        mean, share = float(scores[here].mean()), float(correct[here].mean())
        answer.append(Point(float(edges[k]), float(edges[k + 1]), int(here.sum()), mean, share))
    return answer


def calibration_error(scores: Floats, correct: Bools, *, bins: int = 10, equal_mass: bool = False) -> float:
    """ECE: the distance between mean score and share right, bins weighted by their boxes. NaN without boxes."""
    image = np.zeros(len(scores), np.int64)
    once = np.ones((1, 1), np.int64)
    return float(calibration_errors(scores, correct, image, once, bins=bins, equal_mass=equal_mass)[0])


def calibration_errors(
    scores: Floats, correct: Bools, image: Ints, counts: Ints, *, bins: int = 10, equal_mass: bool = False
) -> Floats:
    """ECE for each resample of images (a row of `counts`). The bins are those of all boxes.

    ECE is never below 0, so noise alone makes it positive: few boxes a bin look worse than they are.
    """
    place = _place(scores, _edges(scores, bins, equal_mass))
    images = counts.shape[1]
    gaps, sizes = np.zeros((bins, images)), np.zeros(images)
    np.add.at(gaps, (place, image), scores - correct)
    np.add.at(sizes, image, 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        errors: Floats = np.abs(counts @ gaps.T).sum(axis=1) / (counts @ sizes)
    return errors


def _edges(scores: Floats, bins: int, equal_mass: bool) -> Floats:
    if not equal_mass or not len(scores):
        return np.linspace(0, 1, bins + 1)
    edges: Floats = np.unique(np.quantile(scores, np.linspace(0, 1, bins + 1)))  # many equal scores make fewer bins
    return edges if len(edges) > 1 else np.repeat(edges, 2)


def _place(scores: Floats, edges: Floats) -> Ints:
    """Lower edges are inclusive; the last bin has its upper one too."""
    place: Ints = np.searchsorted(edges, scores, side="right") - 1
    return np.clip(place, 0, max(0, len(edges) - 2))


def fit_isotonic(scores: Floats, correct: Bools) -> tuple[Floats, Floats]:
    """The curve (x, y), y the share right, never falling, thinned to its knots; between them it is straight.

    One box that was right is added at the lowest score and one that was wrong at the highest (Laplace's rule at
    the ends): three right boxes on top make 3/4 and not certainty, and no y is ever exactly 0 or 1.

    One curve a producer, never one for all: measured on real detectors a shared one is worse than none for the best
    of them. Ten images with truth are enough for most of the gain; with five, scores that were right already suffer.
    """
    if not len(scores):
        raise EngineError("A calibration curve needs scored boxes in images with truth; there are none.")
    from sklearn.isotonic import IsotonicRegression

    ends = [scores.min(), scores.max()]
    curve = IsotonicRegression(y_min=0, y_max=1, increasing=True, out_of_bounds="clip")
    curve.fit(np.append(scores, ends), np.append(correct.astype(np.float64), [1.0, 0.0]))
    return _knots(np.asarray(curve.X_thresholds_, np.float64), np.asarray(curve.y_thresholds_, np.float64))


def _knots(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Without repeated x, and without points on the straight line between their neighbours."""
    new = np.append(True, np.diff(x) > 0)
    x, y = x[new], np.maximum.accumulate(y[new])
    if len(x) < 3:
        return x, y
    slopes = np.diff(y) / np.diff(x)
    bends = np.concatenate([[True], ~np.isclose(slopes[1:], slopes[:-1], rtol=1e-9, atol=1e-12), [True]])
    return x[bends], y[bends]
