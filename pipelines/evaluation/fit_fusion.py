"""Fits a logistic regression to boxes that people drew. It combines the scores of several detectors into one score.

Its scale and its floor are fitted to out-of-fold predictions, which are made by regressions that did not see the image.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine.schema import Region, Sample
from engine.scores.calibration import Calibration
from engine.scores.fusion import FittedFusion
from model.evaluate.calibration import fit_isotonic
from model.evaluate.detections import Detection, TruthImage, as_columns
from model.evaluate.matching import matched_in_images, scored
from specialists.consensus import Consensus

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

FOLDS = 5
MIN_RIGHT = 20  # with fewer correct boxes, a regression would fit noise, so only the curves are fitted
Found = Mapping[str, Mapping[str, Sequence[Detection]]]  # by detector, by image


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Out-of-fold predictions: the scores of boxes, which boxes are right, and the number of true objects."""

    scores: Floats
    right: Bools
    objects: int


def fit_curves(truth: Mapping[str, TruthImage], found: Found) -> Calibration:
    """A curve for each detector that has a box in these images."""
    curves = {}
    for name in sorted(found):
        scores, right, _ = scored(truth, {image: found[name][image] for image in truth if image in found[name]})
        if len(scores):
            curves[name] = fit_isotonic(scores, right)
    return Calibration(curves)


def fit_fusion(truth: Mapping[str, TruthImage], found: Found) -> tuple[Calibration, HeldOut | None]:
    """The calibration, and the out-of-fold predictions of its fusion.

    With a single detector, or with too few labels, there is no fusion, and the predictions are None.
    """
    curves = fit_curves(truth, found)
    producers = curves.producers
    if len(producers) < 2:
        return curves, None
    table = _Clusters(truth, found, curves)
    if table.right.sum() < MIN_RIGHT:
        return curves, None
    model = _Logistic.fit(table)
    out_of_fold, right = _out_of_fold(truth, found, producers)
    if not right.any() or right.all():
        return curves, None
    # Platt scaling on out-of-fold logits. It is two numbers, which go into the regression and keep the order of scores.
    slope, offset = _platt(out_of_fold, right)
    held = HeldOut(_sigmoid(slope * out_of_fold + offset), right, _objects(truth))
    coefficients, intercept = slope * model.coefficients, slope * model.intercept + offset
    fusion = FittedFusion(producers, coefficients, intercept, _best_floor(held))
    return Calibration(curves.curves, fusion), held


def _objects(truth: Mapping[str, TruthImage]) -> int:
    return sum(not thing.crowd for image in truth.values() for thing in image.objects)


def _best_floor(held: HeldOut) -> float:
    """The score floor with the highest F1."""
    order = np.argsort(-held.scores, kind="stable")
    scores, right = held.scores[order], np.cumsum(held.right[order])
    last = np.append(scores[1:] < scores[:-1], True)  # boxes with equal scores are kept or dropped together
    f1 = np.where(last, 2 * right / (np.arange(1, len(scores) + 1) + held.objects), -1.0)
    return round(float(scores[int(np.argmax(f1))]), 4)


def _out_of_fold(truth: Mapping[str, TruthImage], found: Found, producers: Sequence[str]) -> tuple[Floats, Bools]:
    """(logits, right) of all clusters. The logit of a cluster is from a fit without the fold that its image is in."""
    folds = np.array([zlib.crc32(name.encode()) % FOLDS for name in sorted(truth)])
    scores, right = [np.zeros(0)], [np.zeros(0, np.bool_)]
    for fold in range(FOLDS):
        inside = {name for name, number in zip(sorted(truth), folds, strict=True) if number == fold}
        rest = {name: image for name, image in truth.items() if name not in inside}
        curves = fit_curves(rest, found)
        if not inside or curves.producers != tuple(producers):
            continue
        seen = _Clusters(rest, found, curves)
        if not seen.right.any() or seen.right.all():
            continue
        fresh = _Clusters({name: truth[name] for name in inside}, found, curves)
        scores.append(_Logistic.fit(seen).logits(fresh))
        right.append(fresh.right)
    return np.concatenate(scores), np.concatenate(right)


class _Clusters:
    """The clusters that consensus makes of calibrated boxes: their features, and which clusters are right."""

    def __init__(self, truth: Mapping[str, TruthImage], found: Found, curves: Calibration) -> None:
        consensus = Consensus()
        consensus.calibration = curves
        names = sorted(truth)
        samples = [_sample(name, truth[name], found, curves.producers) for name in names]
        evidence, regions = consensus.evidence(samples)
        boxes = {
            name: [Detection(r.label, (r.x1, r.y1, r.x2, r.y2), r.score or 0.0) for r in fused]
            for name, fused in zip(names, regions, strict=True)
        }
        right, ignored = matched_in_images([truth[name].objects for name in names], as_columns(boxes))
        self.features = evidence.of(curves.producers).rows(~ignored).features()
        self.right: Bools = right[~ignored]


def _sample(name: str, image: TruthImage, found: Found, producers: Sequence[str]) -> Sample:
    regions = []
    for producer in producers:
        for number, one in enumerate(found[producer].get(name, ())):
            region = Region(*one.box, one.label, id=f"{producer}/{number}", score=one.score, producer=producer)
            regions.append(region)
    return Sample(name, image.width, image.height, regions=regions, detectors=tuple(producers))


@dataclass(frozen=True, slots=True)
class _Logistic:
    coefficients: Floats
    intercept: float

    @classmethod
    def fit(cls, table: _Clusters) -> _Logistic:
        from sklearn.linear_model import LogisticRegression

        model = LogisticRegression(C=1.0, max_iter=2000).fit(table.features, table.right)
        return cls(np.asarray(model.coef_[0], np.float64), float(model.intercept_[0]))

    def logits(self, table: _Clusters) -> Floats:
        answer: Floats = table.features @ self.coefficients + self.intercept
        return answer


def _platt(logits: Floats, right: Bools) -> tuple[float, float]:
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=1.0, max_iter=2000).fit(logits[:, None], right)
    return float(model.coef_[0, 0]), float(model.intercept_[0])


def _sigmoid(logits: Floats) -> Floats:
    answer: Floats = 1 / (1 + np.exp(-logits))
    return answer
