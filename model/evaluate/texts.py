"""Measures captions against human references: CIDEr-D, BLEU-4 and exact matches, by the scorers of pycocoevalcap.

CIDEr weights a word by how rare it is in the references. So figures of different sets of images cannot be compared, and
a single image always has 0. Captions are split into words by model/evaluate/tokens.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from model.evaluate.detections import check_known_images
from model.evaluate.resampling import Floats, Ints, resampled_ratios
from model.evaluate.tokens import tokens

_TINY, _SMALL = 1e-15, 1e-9  # pycocoevalcap's constants against division by 0
ORDERS = 4


@dataclass(frozen=True, slots=True)
class CaptionMeasure:
    """The figures of captions. An image with references but without a caption counts as having an empty caption.

    `cider`, `bleu`, `exact`: for each image, sorted by name.
    """

    figures: dict[str, float]  # CIDEr-D, BLEU-4, exact: share of captions equal to one of the references
    images: int
    answered: int
    cider: Floats
    bleu: BleuCounts
    exact: Floats  # 1 if the caption has the same words as a reference, else 0

    def resampled(self, counts: Ints) -> dict[str, Floats]:
        """Each figure for each resample of images (a row of `counts`). Word frequencies stay those of all images."""
        cider, exact = (resampled_ratios(values, np.ones(self.images), counts) for values in (self.cider, self.exact))
        return {"CIDEr-D": cider, "BLEU-4": self.bleu.score(counts), "exact": exact}


@dataclass(frozen=True, slots=True)
class BleuCounts:
    """The counts from which BLEU is computed, one row for each image. N-grams have 1 to 4 words."""

    found: Ints  # images x 4: n-grams of the caption that are in a reference
    written: Ints  # images x 4: n-grams of the caption
    length: Ints  # of the caption
    reference: Ints  # length of the reference nearest in length

    def score(self, counts: Ints) -> Floats:
        """BLEU-4 of each resample (a row of `counts`)."""
        precision = (counts @ self.found + _TINY) / (counts @ self.written + _SMALL)
        ratio = (counts @ self.length + _TINY) / (counts @ self.reference + _SMALL)
        with np.errstate(over="ignore"):
            brevity = np.exp(np.minimum(0.0, 1 - 1 / ratio))
        score: Floats = np.prod(precision, axis=1) ** (1 / ORDERS) * brevity
        return score


def measure_captions(references: Mapping[str, Sequence[str]], candidates: Mapping[str, str]) -> CaptionMeasure:
    """Measures captions, {image: text}, against human texts, {image: texts}. Images without human texts do not
    count.
    """
    written = {name: [words for text in texts if (words := _words(text))] for name, texts in references.items()}
    names = sorted(name for name, texts in written.items() if texts)
    check_known_images(names, candidates)
    truth = {name: written[name] for name in names}
    captions = {name: [_words(candidates.get(name, ""))] for name in names}
    exact = np.array([captions[name][0] in truth[name] for name in names], np.float64)
    measure = CaptionMeasure(
        {},
        len(names),
        sum(bool(one[0]) for one in captions.values()),
        _cider(truth, captions),
        _bleu(truth, captions),
        exact,
    )
    once = np.ones((1, len(names)), np.int64)
    figures = {name: float(values[0]) if names else float("nan") for name, values in measure.resampled(once).items()}
    measure.figures.update(figures)
    return measure


def _words(text: str) -> str:
    return " ".join(tokens(text))


def _cider(truth: dict[str, list[str]], captions: dict[str, list[str]]) -> Floats:
    if not truth:
        return np.zeros(0)
    from pycocoevalcap.cider.cider import Cider

    return np.asarray(Cider().compute_score(truth, captions)[1], np.float64)


def _bleu(truth: dict[str, list[str]], captions: dict[str, list[str]]) -> BleuCounts:
    from pycocoevalcap.bleu.bleu_scorer import BleuScorer

    scorer = BleuScorer(n=ORDERS)
    for name, texts in truth.items():
        scorer += (captions[name][0], texts)
    rows: list[dict[str, Any]] = scorer.ctest
    nearest = [min((abs(length - row["testlen"]), length) for length in row["reflen"])[1] for row in rows]
    return BleuCounts(
        found=np.array([row["correct"] for row in rows], np.int64).reshape(-1, ORDERS),
        written=np.array([row["guess"] for row in rows], np.int64).reshape(-1, ORDERS),
        length=np.array([row["testlen"] for row in rows], np.int64),
        reference=np.array(nearest, np.int64),
    )
