"""Scores how probable given targets are as answers of a Florence-2. Targets may be annotations or answers of other
models.

The decoder reads the target itself (teacher forcing), so one pass scores every token, and with them every region and
text. The scores are comparable with those that `predict` gives to the model's own answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import torch
from torch import Tensor

from model.decoding.likelihood import token_scores
from model.decoding.predict import Prediction, question_batches, read_answer
from model.network.encoding import EncodedImages, EncodedQuestions, Question, padded
from model.network.florence import Florence, Pixels

Floats = list[float]
_CHUNK = 1024  # tokens processed at a time; their logits take 200 MB with the released vocabulary


def score(
    florence: Florence,
    images: Sequence[Pixels] | EncodedImages,
    questions: Sequence[Question],
    targets: Sequence[str | Sequence[int]],
    *,
    batch_size: int = 16,
) -> list[Prediction]:
    """The parsed content and the likelihood of each target, as the answer to the question at the same position.

    A target is a string, or the `ids` of a Prediction. Regions keep the order of the target. Raises ValueError if a
    target has more tokens than the decoder can read.
    """
    answers: dict[int, Prediction] = {}
    target_ids = [_target_ids(florence, target) for target in targets]
    if len(target_ids) != len(questions):
        raise ValueError(f"There are {len(targets)} targets for {len(questions)} questions: give one for each.")
    for batch in question_batches(florence, images, questions, batch_size):
        ids = [target_ids[number] for number in batch.numbers]
        scores = _token_scores(florence, batch.encode(florence), ids)
        for number, question, size, own, (tokens, near) in zip(
            batch.numbers, batch.questions, batch.sizes, ids, scores, strict=True
        ):
            answers[number] = read_answer(florence.vocabulary, question.task, size, own, tokens, near)
    return [answers[number] for number in range(len(questions))]


def _target_ids(florence: Florence, target: str | Sequence[int]) -> list[int]:
    ids = florence.target_ids(target) if isinstance(target, str) else list(target)
    if len(ids) > florence.max_tokens:
        raise ValueError(f"A target of {len(ids)} tokens is too long: the decoder holds {florence.max_tokens}.")
    return ids


@torch.inference_mode()
def _token_scores(
    florence: Florence, encoded: EncodedQuestions, ids: Sequence[Sequence[int]]
) -> list[tuple[Floats, Floats]]:
    """For each target, the TokenScores of its tokens."""
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
    tokens, near = _scores_of_states(florence, hidden[mask.bool()], chosen[mask.bool()])
    ends = list(accumulate(map(len, ids)))
    return [(tokens[end - len(row) : end], near[end - len(row) : end]) for row, end in zip(ids, ends, strict=True)]


def _scores_of_states(florence: Florence, hidden: Tensor, chosen: Tensor) -> tuple[Floats, Floats]:
    """The TokenScores of tokens, computed from their decoder states. `hidden`: tokens x width."""
    tokens, near = list[float](), list[float]()
    for start in range(0, len(chosen), _CHUNK):
        some = slice(start, start + _CHUNK)
        logits = florence.model.lm_head(hidden[some]).float()
        scores = token_scores(logits, chosen[some], florence.vocabulary.first_location)
        tokens += scores.tokens.tolist()
        near += scores.near.tolist()
    return tokens, near
