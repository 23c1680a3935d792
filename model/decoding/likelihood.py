"""Scores of an answer: the probability of each token, and of each region and text that the tokens form.

Probabilities come from the plain softmax over the whole vocabulary, even if decoding was constrained. So scores of free
answers, constrained answers and given annotations are comparable. The probability of a location is the sum over all
locations near it (TOLERANCE), because a box that is one bin off is as good as the exact box.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from model.florence2_tasks import task_of
from model.network.vocabulary import Vocabulary
from model.pairs.locations import BINS
from model.pairs.parsing import ParsedRegion, ParsedTarget

if TYPE_CHECKING:
    from torch import Tensor

TOLERANCE = 0.06  # how far to each side locations count as near, as a share of the image's side
SCORE_KIND = "token_probability"


class TokenScores(NamedTuple):
    """Log-probabilities of tokens. `tokens`: of each token itself. `near`: of all locations near it; 0 if the token is
    not a location.
    """

    tokens: Tensor
    near: Tensor


def token_scores(logits: Tensor, chosen: Tensor, first_location: int, tolerance: float = TOLERANCE) -> TokenScores:
    """The TokenScores of written tokens. `logits`: tokens x vocabulary, float32. `chosen`: the ids of the tokens."""
    import torch

    total = logits.logsumexp(dim=-1)
    tokens = logits.gather(1, chosen[:, None])[:, 0] - total
    locations = slice(first_location, first_location + BINS)
    mass = (logits[:, locations] - total[:, None]).double().exp().cumsum(dim=1)
    mass = torch.nn.functional.pad(mass, (1, 0))
    reach = round(tolerance * BINS)
    bins = chosen - first_location
    is_location = (bins >= 0) & (bins < BINS)
    bins = bins.clamp(0, BINS - 1)
    high, low = (bins + reach + 1).clamp(max=BINS), (bins - reach).clamp(min=0)
    near = (mass.gather(1, high[:, None]) - mass.gather(1, low[:, None]))[:, 0].log()
    return TokenScores(tokens, torch.where(is_location, near.to(tokens.dtype), 0.0))


class RegionScore(NamedTuple):
    """Scores of one region. All are from 0 to 1 except the logarithm.

    label: product of the probabilities of its label's tokens; 1 without a label. label_mean: their geometric mean.
    location: the probability near each location is computed; this is the geometric mean over the region's locations.
    score: label * location, or label_mean * location if labels are sentences or printed text. mean_log_prob: mean
    log-probability of the tokens of its label and its locations, without tolerance.
    """

    label: float
    label_mean: float
    location: float
    score: float
    mean_log_prob: float


@dataclass(slots=True)
class Likelihood:
    """Scores of an answer. `regions`: of each region. `text`: geometric mean of the token probabilities; 0 if there is
    no text. `mean_log_prob`: mean over all tokens, including </s> but without <s>.
    """

    regions: list[RegionScore] = field(default_factory=list)
    text: float = 0.0
    mean_log_prob: float = 0.0


def likelihood(
    task: str,
    parsed: ParsedTarget,
    ids: Sequence[int],
    tokens: Sequence[float],
    near: Sequence[float],
    words: Vocabulary,
) -> Likelihood:
    """Scores the parts of an answer.

    `ids`: its tokens. `tokens`, `near`: their TokenScores. `parsed`: what the parser read from them.
    """
    written = [token for token, number in zip(tokens, ids, strict=True) if number not in (words.bos, words.pad)]
    text = [token for token, number in zip(tokens, ids, strict=True) if number not in (words.bos, words.pad, words.eos)]
    is_text = task_of(task).form == "text" and text
    return Likelihood(
        [_region_score(task, region, tokens, near) for region in parsed.regions],
        math.exp(_mean(text)) if is_text else 0.0,
        _mean(written),
    )


def _region_score(task: str, region: ParsedRegion, tokens: Sequence[float], near: Sequence[float]) -> RegionScore:
    label = list(tokens[slice(*region.label_at)]) if region.label_at else []
    positions = [position for start, end in region.locations_at for position in range(start, end)]
    product, mean = math.exp(sum(label)), math.exp(_mean(label))
    location = math.exp(_mean([near[position] for position in positions]))
    # With the product, a sentence would always score lower than a single word.
    score = (mean if task_of(task).has_text_labels else product) * location
    exact = _mean([*label, *(tokens[position] for position in positions)])
    return RegionScore(product, mean, location, min(1.0, score), exact)


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values) if values else 0.0
