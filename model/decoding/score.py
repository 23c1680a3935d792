"""How probable a Florence-2 finds what is written already: answers of others, annotations of a data set.

The decoder is given the target itself, so that one pass over it scores every token, and so every region and text in
it, also one of many. What is scored this way and what `predict` says of its own answers are the same measure.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import torch
from torch import Tensor

from model.decoding.likelihood import token_scores
from model.decoding.predict import Prediction, batches, judged
from model.network.encoding import Ask, Encoded, Seen, encode, padded
from model.network.florence import Florence, Pixels

Floats = list[float]
_AT_ONCE = 1024  # tokens whose logits are held: 200 MB of the released vocabulary


def score(
    florence: Florence,
    images: Sequence[Pixels] | Seen,
    asks: Sequence[Ask],
    targets: Sequence[str | Sequence[int]],
    *,
    batch_size: int = 16,
) -> list[Prediction]:
    """Of each target, the answer to the ask at the same place, what it says and how probable each part of it is.

    A target is a string, or tokens as a Prediction has them. Regions keep the order of the target. ValueError for a
    target of more tokens than the decoder holds.
    """
    answers: dict[int, Prediction] = {}
    wanted = [_target_ids(florence, target) for target in targets]
    if len(wanted) != len(asks):
        raise ValueError(f"{len(wanted)} targets of {len(asks)} questions: give one for each.")
    for seen, first, batch in batches(florence, images, asks, batch_size):
        encoded = encode(florence, seen, [(ask.image - first, tokens) for _, ask, tokens in batch])
        ids = [wanted[number] for number, _, _ in batch]
        for (number, ask, _), own, (tokens, near) in zip(batch, ids, _scored(florence, encoded, ids), strict=True):
            size = seen.sizes[ask.image - first]
            answers[number] = judged(florence.vocabulary, ask.task, size, own, tokens, near)
    return [answers[number] for number in range(len(asks))]


def _target_ids(florence: Florence, target: str | Sequence[int]) -> list[int]:
    ids = florence.target_ids(target) if isinstance(target, str) else list(target)
    if len(ids) > florence.places:
        raise ValueError(f"A target of {len(ids)} tokens: the decoder holds {florence.places}.")
    return ids


@torch.inference_mode()
def _scored(florence: Florence, encoded: Encoded, ids: Sequence[Sequence[int]]) -> list[tuple[Floats, Floats]]:
    """Of each row, the scores of its tokens as TokenScores has them."""
    model, words = florence.model, florence.vocabulary
    chosen, mask = padded(ids, words.pad, florence.device)
    start = int(model.config.text_config.decoder_start_token_id)
    before = torch.cat([torch.full_like(chosen[:, :1], start), chosen[:, :-1]], dim=1)
    hidden = model.model.language_model.decoder(
        input_ids=before,
        encoder_hidden_states=encoded.states,
        encoder_attention_mask=encoded.mask,
        use_cache=False,
    ).last_hidden_state
    tokens, near = _of_tokens(florence, hidden[mask.bool()], chosen[mask.bool()])
    ends = list(accumulate(map(len, ids)))
    return [(tokens[end - len(row) : end], near[end - len(row) : end]) for row, end in zip(ids, ends, strict=True)]


def _of_tokens(florence: Florence, hidden: Tensor, chosen: Tensor) -> tuple[Floats, Floats]:
    """`hidden`: tokens x width."""
    tokens, near = list[float](), list[float]()
    for start in range(0, len(chosen), _AT_ONCE):
        some = slice(start, start + _AT_ONCE)
        logits = florence.model.lm_head(hidden[some]).float()
        scores = token_scores(logits, chosen[some], florence.vocabulary.first_location)
        tokens += scores.tokens.tolist()
        near += scores.near.tolist()
    return tokens, near
