"""How probable a model finds what is written: of each token, and of each region and text that tokens make up.

Probabilities are those of the plain softmax over the whole vocabulary, whatever decoding let through: so they mean the
same of free and of constrained answers, and of annotations that nobody generated. A location counts with all that lies
within a tolerance of it: a box one bin off is the same box.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from model.network.vocabulary import Vocabulary
from model.pairs.locations import BINS
from model.pairs.parsing import Found, Parsed
from model.pairs.tasks import task_of

if TYPE_CHECKING:
    from torch import Tensor

TOLERANCE = 0.06  # of the image's side, to either side
SCORE_KIND = "token_probability"


class TokenScores(NamedTuple):
    """Natural logarithms, one a token: of its probability, and of that of what lies near it (0 of no location)."""

    tokens: Tensor
    near: Tensor


def token_scores(logits: Tensor, chosen: Tensor, first_location: int, tolerance: float = TOLERANCE) -> TokenScores:
    """`logits`: tokens x vocabulary, float32; `chosen`: what was written there."""
    import torch

    whole = logits.logsumexp(dim=-1)
    tokens = logits.gather(1, chosen[:, None])[:, 0] - whole
    places = slice(first_location, first_location + BINS)
    mass = (logits[:, places] - whole[:, None]).double().exp().cumsum(dim=1)
    mass = torch.nn.functional.pad(mass, (1, 0))
    reach = round(tolerance * BINS)
    bins = chosen - first_location
    is_location = (bins >= 0) & (bins < BINS)
    bins = bins.clamp(0, BINS - 1)
    high, low = (bins + reach + 1).clamp(max=BINS), (bins - reach).clamp(min=0)
    near = (mass.gather(1, high[:, None]) - mass.gather(1, low[:, None]))[:, 0].log()
    return TokenScores(tokens, torch.where(is_location, near.to(tokens.dtype), 0.0))


class FoundScore(NamedTuple):
    """Of one region, each 0 to 1 but for the logarithm.

    label: the product of its label's tokens, 1 without a label; label_mean: their geometric mean.
    location: the geometric mean of what lies within the tolerance of each of its locations.
    score: label * location; of labels that are sentences or printed words label_mean * location.
    mean_log_prob: the mean over its label's and its locations' tokens, each location exactly as it is.
    """

    label: float
    label_mean: float
    location: float
    score: float
    mean_log_prob: float


@dataclass(slots=True)
class Likelihood:
    """`found`: of each region of the answer. `text`: the geometric mean of a text's tokens, 0 of none.

    `mean_log_prob`: over all tokens but <s>, its end among them.
    """

    found: list[FoundScore] = field(default_factory=list)
    text: float = 0.0
    mean_log_prob: float = 0.0


def likelihood(
    task: str, parsed: Parsed, ids: Sequence[int], tokens: Sequence[float], near: Sequence[float], words: Vocabulary
) -> Likelihood:
    """`tokens` and `near`: of each of `ids`, as `token_scores` gives them. `parsed`: what `ids` say."""
    said = [token for token, number in zip(tokens, ids, strict=True) if number not in (words.bos, words.pad)]
    text = [token for token, number in zip(tokens, ids, strict=True) if number not in (words.bos, words.pad, words.eos)]
    is_text = task_of(task).form == "text" and text
    return Likelihood(
        [_found_score(task, found, tokens, near) for found in parsed.found],
        math.exp(_mean(text)) if is_text else 0.0,
        _mean(said),
    )


def _found_score(task: str, found: Found, tokens: Sequence[float], near: Sequence[float]) -> FoundScore:
    label = list(tokens[slice(*found.label_at)]) if found.label_at else []
    places = [place for start, end in found.locations_at for place in range(start, end)]
    product, mean = math.exp(sum(label)), math.exp(_mean(label))
    location = math.exp(_mean([near[place] for place in places]))
    # By the product a sentence would always score lower than a single word.
    score = (mean if task_of(task).has_text_labels else product) * location
    exact = _mean([*label, *(tokens[place] for place in places)])
    return FoundScore(product, mean, location, min(1.0, score), exact)


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values) if values else 0.0
