"""Combines the boxes of several detectors on one object (a cluster) into one score. A missing box lowers the score.

`scores` is a matrix, clusters x detectors, with 0 where a detector has no box in the cluster. `ran` is true where a
detector ran on the image. There are two methods: agreement, which needs no labels, and a regression fitted to labels.
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

# Trust = (confirmed + A) / (claimed + B), for each detector and image. A and B were chosen on all pairs and triples of
# four real detectors and on all four (benchmarks/fusion.py). Half or twice these values give nearly the same result.
_A, _B = 0.2, 2.0
_POWER = 2  # the trust relative to the most trusted detector is raised to this power
_ENOUGH = 0.3  # a detector with a smaller sum of scores in an image counts less as the most trusted one
RIVAL_IOU = 0.6
CONTEXT = 5  # number of features that do not belong to a single detector
_EDGE = 1e-4  # probabilities are kept this far from 0 and 1, where the logit is infinite


def trust(scores: Floats, image: Ints, images: int, ran: Bools) -> Floats:
    """A weight from 0 to 1 for each detector in each image (images x detectors): how far other detectors confirm it.

    If a detector's scores are too high, it has many boxes that no other detector has. The most trusted detector of an
    image has weight 1. A detector that did not run has 0. `scores`: clusters x detectors. `image`: the image of each
    cluster. `ran`: images x detectors.
    """
    detectors = scores.shape[1]
    missed = np.log1p(-np.minimum(scores, 1 - 1e-12))
    seen_by_others = -np.expm1(missed.sum(axis=1, keepdims=True) - missed)
    claimed, confirmed = np.zeros((images, detectors)), np.zeros((images, detectors))
    np.add.at(claimed, image, scores)
    np.add.at(confirmed, image, scores * seen_by_others)
    share = (confirmed + _A) / (claimed + _B)
    best = (share * np.minimum(1.0, claimed / _ENOUGH)).max(axis=1, keepdims=True, initial=0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        weight = np.where(best > 0, np.minimum(1.0, share / best), 1.0) ** _POWER
    result: Floats = np.where(ran, weight, 0.0)
    return result


def by_agreement(scores: Floats, weights: Floats, votes: Floats) -> Floats:
    """One score for each cluster: the mean of the probability that any detector is right and of the mean score.

    The first rises with every detector that has a box. The second falls with every detector that ran and has none.
    `weights`: the trust of each detector in the cluster's image, 0 if it did not run. `votes`: one number for each
    detector, which multiplies its weight.
    """
    trusted = np.minimum(weights * scores, 1.0)
    with np.errstate(divide="ignore"):  # log(0) for a score of 1
        any_right = -np.expm1((votes * np.log1p(-trusted)).sum(axis=1))
    shares = weights * votes
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = np.nan_to_num((shares * scores).sum(axis=1) / shares.sum(axis=1))
    result: Floats = (any_right + mean) / 2
    return result


@dataclass(frozen=True, slots=True)
class Evidence:
    """The inputs of the regression, with one row for each cluster.

    producers: the detectors, in the order of the columns of `scores` and `ran`. scores: calibrated. agreement:
    `by_agreement` of the raw scores. rival: the highest agreement of a box with another label that overlaps this one by
    RIVAL_IOU or more. echo: the highest agreement of another box with this label in the image. area: natural logarithm
    of the box's share of the image.
    """

    producers: tuple[str, ...]
    scores: Floats
    ran: Bools
    agreement: Floats
    rival: Floats
    echo: Floats
    area: Floats

    def rows(self, rows: Any) -> Evidence:
        """The evidence of some rows."""
        columns = (self.scores, self.ran, self.agreement, self.rival, self.echo, self.area)
        return Evidence(self.producers, *(column[rows] for column in columns))

    def of(self, producers: Sequence[str]) -> Evidence:
        """The same evidence, with the columns of `scores` and `ran` in the order of `producers`.

        Raises ConfigError if the evidence has a detector that is not in `producers`.
        """
        unknown = sorted(set(self.producers) - set(producers))
        if unknown:
            raise ConfigError(
                f"The calibration was fitted without the detector '{unknown[0]}': fit again with 'engine eval --fit'."
            )
        scores, ran = np.zeros((len(self.scores), len(producers))), np.zeros((len(self.ran), len(producers)), bool)
        for column, name in enumerate(producers):
            if name in self.producers:
                column_before = self.producers.index(name)
                scores[:, column], ran[:, column] = self.scores[:, column_before], self.ran[:, column_before]
        return replace(self, producers=tuple(producers), scores=scores, ran=ran)

    def features(self) -> Floats:
        """The features of the regression, rows x (2 x detectors + CONTEXT).

        Columns: the logit of each detector's score (0 without a box); for each detector, 1 if it ran and found nothing;
        the logits of agreement, rival and echo; area; area squared.
        """
        drawn = self.scores > 0
        columns = [np.where(drawn, logit(self.scores), 0.0), self.ran & ~drawn]
        columns += [logit(self.agreement), logit(self.rival), logit(self.echo), self.area, self.area**2]
        result: Floats = np.column_stack(columns).astype(np.float64)
        return result


def logit(probability: Floats) -> Floats:
    inside = np.clip(probability, _EDGE, 1 - _EDGE)
    result: Floats = np.log(inside / (1 - inside))
    return result


@dataclass(frozen=True, slots=True)
class FittedFusion:
    """A logistic regression on `Evidence.features`. Its scores are probabilities.

    coefficients: one for each feature, with detectors in the order of `producers`. floor: the score threshold with the
    highest F1 on images that were not used for the fit.
    """

    producers: tuple[str, ...]
    coefficients: Floats
    intercept: float
    floor: float

    def score(self, evidence: Evidence) -> Floats:
        """A score from 0 to 1 for each row.

        Raises ConfigError if the evidence has a detector that was not part of the fit.
        """
        result: Floats = 1 / (
            1 + np.exp(-(evidence.of(self.producers).features() @ self.coefficients + self.intercept))
        )
        return result

    def as_json(self) -> dict[str, Any]:
        coefficients = self.coefficients.tolist()
        return {
            "producers": list(self.producers),
            "coefficients": coefficients,
            "intercept": self.intercept,
            "floor": self.floor,
        }
