"""CIDEr-D and BLEU-4 of captions against people's, by pycocoevalcap's scorers on our own tokens; and who says the same.

CIDEr weighs words by how rare they are among the references given, so a figure belongs to its set of images:
figures of different sets do not compare, and one image alone always has 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from model.evaluate.detections import in_known_images
from model.evaluate.resampling import Floats, Ints, of_totals
from model.evaluate.tokens import tokens

_TINY, _SMALL = 1e-15, 1e-9  # as the scorer has them, so that nothing is divided by 0
ORDERS = 4


@dataclass(frozen=True, slots=True)
class CaptionMeasure:
    """An image with references and no candidate counts as an empty one: silence is no way to a better figure.

    `cider` of each image, in order of name. `bleu` likewise: its n-grams found and said, of one to four words,
    its length and that of the reference nearest in length; BLEU is made of the sums of these.
    """

    figures: dict[str, float]  # CIDEr-D, BLEU-4, exact: the share of candidates that are one of the references
    images: int
    answered: int
    cider: Floats
    bleu: BleuCounts
    exact: Floats  # 1 or 0, word by word

    def resampled(self, counts: Ints) -> dict[str, Floats]:
        """Each figure for each resample of images. How rare words are stays as in all images."""
        cider, exact = (of_totals(values, np.ones(self.images), counts) for values in (self.cider, self.exact))
        return {"CIDEr-D": cider, "BLEU-4": self.bleu.score(counts), "exact": exact}


@dataclass(frozen=True, slots=True)
class BleuCounts:
    found: Ints  # images x orders
    said: Ints
    length: Ints
    reference: Ints

    def score(self, counts: Ints) -> Floats:
        """BLEU-4 of the corpus in which each image comes as often as its row of `counts` says."""
        precision = (counts @ self.found + _TINY) / (counts @ self.said + _SMALL)
        ratio = (counts @ self.length + _TINY) / (counts @ self.reference + _SMALL)
        with np.errstate(over="ignore"):
            brevity = np.exp(np.minimum(0.0, 1 - 1 / ratio))
        score: Floats = np.prod(precision, axis=1) ** (1 / ORDERS) * brevity
        return score


def measure_captions(references: Mapping[str, Sequence[str]], candidates: Mapping[str, str]) -> CaptionMeasure:
    """{image: texts people wrote} and {image: the text to be measured}. Images without references do not count."""
    written = {name: [words for text in texts if (words := _words(text))] for name, texts in references.items()}
    names = sorted(name for name, texts in written.items() if texts)
    in_known_images(names, candidates)
    truth = {name: written[name] for name in names}
    said = {name: [_words(candidates.get(name, ""))] for name in names}
    exact = np.array([said[name][0] in truth[name] for name in names], np.float64)
    measure = CaptionMeasure(
        {}, len(names), sum(bool(one[0]) for one in said.values()), _cider(truth, said), _bleu(truth, said), exact
    )
    once = np.ones((1, len(names)), np.int64)
    known = {name: float(values[0]) if names else float("nan") for name, values in measure.resampled(once).items()}
    measure.figures.update(known)
    return measure


def _words(text: str) -> str:
    return " ".join(tokens(text))


def _cider(truth: dict[str, list[str]], said: dict[str, list[str]]) -> Floats:
    if not truth:
        return np.zeros(0)
    from pycocoevalcap.cider.cider import Cider

    return np.asarray(Cider().compute_score(truth, said)[1], np.float64)


def _bleu(truth: dict[str, list[str]], said: dict[str, list[str]]) -> BleuCounts:
    from pycocoevalcap.bleu.bleu_scorer import BleuScorer

    scorer = BleuScorer(n=ORDERS)
    for name, texts in truth.items():
        scorer += (said[name][0], texts)
    rows: list[dict[str, Any]] = scorer.ctest
    nearest = [min((abs(length - row["testlen"]), length) for length in row["reflen"])[1] for row in rows]
    return BleuCounts(
        found=np.array([row["correct"] for row in rows], np.int64).reshape(-1, ORDERS),
        said=np.array([row["guess"] for row in rows], np.int64).reshape(-1, ORDERS),
        length=np.array([row["testlen"] for row in rows], np.int64),
        reference=np.array(nearest, np.int64),
    )
