"""One score for a cluster of boxes that several detectors drew, from their scores and from who was silent.

A cluster is a row of a matrix, clusters x detectors: the detector's score, 0 where it drew no box there. `asked` says
for each row who looked at the image at all. Two ways: by agreement, which needs no labels, and by a fit to labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.errors import ConfigError

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]

# Trust = (confirmed + A) / (claimed + B), by detector and image. Found on pairs, triples and all four of four real
# detectors (benchmarks/fusion.py): flat between half and twice these values.
_A, _B = 0.2, 2.0
_POWER = 2  # of the trust, relative to the most trusted
_SPEAKS = 0.3  # sum of scores in an image below which a detector's trust is no measure for the others
RIVAL_IOU = 0.6
CONTEXT = 5  # features beside those of the detectors
_EDGE = 1e-4  # probabilities are held this far from 0 and 1 before their logit is taken


def trust(scores: Floats, image: Ints, images: int, asked: Bools) -> Floats:
    """Images x detectors, 0..1: how far the others in an image confirm what a detector claims there.

    A detector whose scores are inflated claims much that nobody else sees. The most trusted one has 1, one that was
    not asked 0. `scores`: clusters x detectors; `image`: row of each cluster's image; `asked`: images x detectors.
    """
    detectors = scores.shape[1]
    missed = np.log1p(-np.minimum(scores, 1 - 1e-12))
    seen_by_others = -np.expm1(missed.sum(axis=1, keepdims=True) - missed)
    claimed, confirmed = np.zeros((images, detectors)), np.zeros((images, detectors))
    np.add.at(claimed, image, scores)
    np.add.at(confirmed, image, scores * seen_by_others)
    share = (confirmed + _A) / (claimed + _B)
    best = (share * np.minimum(1.0, claimed / _SPEAKS)).max(axis=1, keepdims=True, initial=0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        weight = np.where(best > 0, np.minimum(1.0, share / best), 1.0) ** _POWER
    answer: Floats = np.where(asked, weight, 0.0)
    return answer


def by_agreement(scores: Floats, weights: Floats, votes: Floats) -> Floats:
    """The mean of two readings: any of independent witnesses is right, and the mean of all who were asked.

    The first grows when somebody agrees, the second falls with everybody who was asked and is silent. `weights`:
    the trust of each detector in the cluster's image, 0 for one that was not asked; `votes`: one number a detector.
    """
    trusted = np.minimum(weights * scores, 1.0)
    with np.errstate(divide="ignore"):  # a witness who is certain: log(0)
        any_right = -np.expm1((votes * np.log1p(-trusted)).sum(axis=1))
    shares = weights * votes
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = np.nan_to_num((shares * scores).sum(axis=1) / shares.sum(axis=1))
    answer: Floats = (any_right + mean) / 2
    return answer


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a fit reads of clusters, one row each; columns of `scores` (calibrated) and `asked` are `producers`.

    `agreement`: `by_agreement` of the raw scores. `rival`: the most of it that a box of another label has which
    overlaps this one by RIVAL_IOU or more. `echo`: the most that another box of this label has in the image.
    `area`: natural logarithm of the box's share of the image.
    """

    producers: tuple[str, ...]
    scores: Floats
    asked: Bools
    agreement: Floats
    rival: Floats
    echo: Floats
    area: Floats

    def rows(self, rows: Any) -> Evidence:
        columns = (self.scores, self.asked, self.agreement, self.rival, self.echo, self.area)
        return Evidence(self.producers, *(column[rows] for column in columns))

    def of(self, producers: Sequence[str]) -> Evidence:
        """The same with these columns; ConfigError for a detector that is not among them."""
        strange = sorted(set(self.producers) - set(producers))
        if strange:
            raise ConfigError(
                f"The calibration was fitted without the detector '{strange[0]}': fit again with 'engine eval --fit'."
            )
        scores, asked = np.zeros((len(self.scores), len(producers))), np.zeros((len(self.asked), len(producers)), bool)
        for column, name in enumerate(producers):
            if name in self.producers:
                place = self.producers.index(name)
                scores[:, column], asked[:, column] = self.scores[:, place], self.asked[:, place]
        return replace(self, producers=tuple(producers), scores=scores, asked=asked)

    def features(self) -> Floats:
        """Rows x (2 x detectors + CONTEXT): logits of those that drew a box, 1 for each that was asked and is silent,
        then what the image tells.
        """
        drawn = self.scores > 0
        columns = [np.where(drawn, logit(self.scores), 0.0), self.asked & ~drawn]
        columns += [logit(self.agreement), logit(self.rival), logit(self.echo), self.area, self.area**2]
        answer: Floats = np.column_stack(columns).astype(np.float64)
        return answer


def logit(probability: Floats) -> Floats:
    inside = np.clip(probability, _EDGE, 1 - _EDGE)
    answer: Floats = np.log(inside / (1 - inside))
    return answer


@dataclass(frozen=True, slots=True)
class FittedFusion:
    """A logistic regression over `Evidence.features`: what comes out is a probability.

    `coefficients`: one a feature, `producers` in their order. `floor`: the score from which on F1 was highest, on
    images the regression had not seen.
    """

    producers: tuple[str, ...]
    coefficients: Floats
    intercept: float
    floor: float

    def score(self, evidence: Evidence) -> Floats:
        """0..1, one a row. ConfigError for a detector the fit has not seen."""
        answer: Floats = 1 / (
            1 + np.exp(-(evidence.of(self.producers).features() @ self.coefficients + self.intercept))
        )
        return answer

    def as_json(self) -> dict[str, Any]:
        coefficients = self.coefficients.tolist()
        return {
            "producers": list(self.producers),
            "coefficients": coefficients,
            "intercept": self.intercept,
            "floor": self.floor,
        }
