"""Answers questions with a Florence-2 by greedy decoding, many in a batch, and scores every region and text.

By default decoding is constrained to the grammar of targets, so no answer is malformed. Without constraints, answers
are parsed by the same grammar and their faults are reported. The beam search and the ban of repeated n-grams in a
checkpoint's generation config are ignored, because they cut answers short and forbid locations.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from model.decoding.grammar import Grammar, grammar_of
from model.decoding.likelihood import Likelihood, likelihood, token_scores
from model.florence2_tasks import TASKS
from model.network.encoding import (
    EncodedImages,
    EncodedQuestions,
    Question,
    encode_questions,
    encoded_batches,
    prompt_tokens,
)
from model.network.florence import Florence, Pixels
from model.network.vocabulary import Vocabulary
from model.pairs.locations import BINS
from model.pairs.parsing import ParsedTarget, parse_lexemes

Location = Literal["argmax", "median"]


@dataclass(frozen=True, slots=True)
class Prediction:
    """One answer. `ids`: its tokens including </s>. Positions in `parsed` are indices into `ids`.

    `cut`: whether the answer reached the token limit. A constrained answer is always complete in form, but if it was
    cut it may lack regions or words.
    """

    ids: list[int]
    parsed: ParsedTarget
    likelihood: Likelihood
    cut: bool = False


def predict(
    florence: Florence,
    images: Sequence[Pixels] | EncodedImages,
    questions: Sequence[Question],
    *,
    batch_size: int = 16,
    max_new_tokens: int = 1024,
    constrained: bool = True,
    location: Location = "argmax",
) -> list[Prediction]:
    """One prediction for each question, in the same order. Coordinates are in pixels of the given images.

    `batch_size`: how many images the vision tower, and how many questions the decoder, takes at a time.
    `max_new_tokens`: cannot exceed the maximum of the decoder. `location`: "argmax" writes the most probable location.
    "median" writes the weighted median of all locations, which is much more accurate for small models. Raises
    ValueError if a prompt is too long.
    """
    decoder = _GreedyDecoder(florence, min(max_new_tokens, florence.max_tokens), constrained, location)
    answers: dict[int, Prediction] = {}
    for batch in question_batches(florence, images, questions, batch_size):
        written = decoder.write(batch.encode(florence), [question.task for question in batch.questions])
        for number, question, size, (ids, tokens, near) in zip(
            batch.numbers, batch.questions, batch.sizes, written, strict=True
        ):
            cut = len(ids) == decoder.limit
            answers[number] = read_answer(florence.vocabulary, question.task, size, ids, tokens, near, cut=cut)
    return [answers[number] for number in range(len(questions))]


def read_answer(
    words: Vocabulary,
    task: str,
    size: tuple[int, int],
    ids: list[int],
    tokens: list[float],
    near: list[float],
    *,
    cut: bool = False,
) -> Prediction:
    """Parses the tokens of an answer and scores its parts.

    `size`: width and height of the image. `tokens`, `near`: the TokenScores of each token.
    """
    parsed = parse_lexemes(task, words.lex_ids(ids), width=size[0], height=size[1])
    return Prediction(ids, parsed, likelihood(task, parsed, ids, tokens, near, words), cut)


@dataclass(frozen=True, slots=True)
class QuestionBatch:
    """Questions that are decoded together. `numbers`: their positions in the whole list."""

    images: EncodedImages
    numbers: list[int]
    questions: list[Question]
    inputs: list[tuple[int, list[int]]]  # (index in `images`, tokens of the prompt)

    @property
    def sizes(self) -> list[tuple[int, int]]:
        return [self.images.sizes[image] for image, _ in self.inputs]

    def encode(self, florence: Florence) -> EncodedQuestions:
        return encode_questions(florence, self.images, self.inputs)


def question_batches(
    florence: Florence, images: Sequence[Pixels] | EncodedImages, questions: Sequence[Question], size: int
) -> Iterator[QuestionBatch]:
    """Batches of at most `size` questions. Questions with the same task are put together: their answers have similar
    lengths, so a batch seldom waits for one long answer.
    """
    order = {task: number for number, task in enumerate(TASKS)}
    by_image: dict[int, list[int]] = {}
    prompts: dict[str, list[int]] = {}
    for number, question in enumerate(questions):
        if question.prompt not in prompts:
            prompts[question.prompt] = prompt_tokens(florence, question.prompt)
        by_image.setdefault(question.image, []).append(number)
    for first, encoded in encoded_batches(florence, images, size):
        own = [number for image in range(first, first + len(encoded.sizes)) for number in by_image.get(image, ())]
        own.sort(key=lambda number: (order[questions[number].task], len(prompts[questions[number].prompt])))
        for start in range(0, len(own), size):
            numbers = own[start : start + size]
            some = [questions[number] for number in numbers]
            inputs = [(question.image - first, prompts[question.prompt]) for question in some]
            yield QuestionBatch(encoded, numbers, some, inputs)


Written = tuple[list[int], list[float], list[float]]  # token ids, and TokenScores of each


class _GreedyDecoder:
    """Writes the answers of one batch at a time. `limit`: the most tokens an answer may have."""

    def __init__(self, florence: Florence, limit: int, constrained: bool, location: Location) -> None:
        self.florence, self.limit, self.location = florence, limit, location
        self.words = florence.vocabulary
        self.grammar: Grammar | None = grammar_of(florence) if constrained else None
        settings = florence.model.generation_config
        self.first, self.last = settings.forced_bos_token_id, settings.forced_eos_token_id
        self.start = int(florence.model.config.text_config.decoder_start_token_id)

    @torch.inference_mode()
    def write(self, encoded: EncodedQuestions, tasks: Sequence[str]) -> list[Written]:
        rows = _OpenAnswers(self.florence.model, encoded, self.start)
        states = self.grammar.start(tasks, self.limit) if self.grammar else rows.number
        answers: list[Written] = [([], [], []) for _ in tasks]
        for step in range(self.limit):
            logits = rows.logits()
            chosen = self._chosen(logits, states, rows, step)
            scores = token_scores(logits, chosen, self.words.first_location)
            _record(answers, rows, chosen, scores.tokens, scores.near)
            if self.grammar:
                states = self.grammar.after(states, chosen)
            left = rows.append(chosen, chosen != self.words.eos)
            if not len(left):
                break
            states = states[left]
        return answers

    def _chosen(self, logits: Tensor, states: Tensor, rows: _OpenAnswers, step: int) -> Tensor:
        if self.grammar:
            logits = self.grammar.allowed(logits, states, rows.before_last, self.limit - step)
        elif step == self.limit - 1 and self.last is not None:
            return torch.full_like(rows.number, self.last)
        elif step == 0 and self.first is not None:
            return torch.full_like(rows.number, self.first)
        chosen = logits.argmax(dim=1)
        return chosen if self.location == "argmax" else self._medians(logits, chosen)

    def _medians(self, logits: Tensor, chosen: Tensor) -> Tensor:
        """Replaces each chosen location by the median of the model's distribution over all locations."""
        first = self.words.first_location
        is_location = (chosen >= first) & (chosen < first + BINS)
        below = logits[:, first : first + BINS].double().softmax(dim=1).cumsum(dim=1)
        median = (below < 0.5).sum(dim=1).clamp(max=BINS - 1)
        return torch.where(is_location, first + median, chosen)


class _OpenAnswers:
    """The unfinished answers of a batch, and their decoder cache. `number`: for each row, the position of its question
    in the batch.
    """

    def __init__(self, model: Any, encoded: EncodedQuestions, start: int) -> None:
        from transformers import DynamicCache, EncoderDecoderCache

        self.decoder, self.head = model.model.language_model.decoder, model.lm_head
        self.states, self.mask = encoded.states, encoded.mask
        self.number = torch.arange(len(encoded.states), device=encoded.states.device)
        self.last = self.before_last = torch.full_like(self.number, start)
        self.cache: Any = EncoderDecoderCache(DynamicCache(), DynamicCache())

    def logits(self) -> Tensor:
        """The logits of the next token: rows x vocabulary, float32."""
        outputs = self.decoder(
            input_ids=self.last[:, None],
            encoder_hidden_states=self.states,
            encoder_attention_mask=self.mask,
            past_key_values=self.cache,
            use_cache=True,
        )
        logits: Tensor = self.head(outputs.last_hidden_state[:, -1]).float()
        return logits

    def append(self, chosen: Tensor, unfinished: Tensor) -> Tensor:
        """Appends a token to each row and drops the finished rows. Returns the indices of the remaining rows."""
        left = unfinished.nonzero()[:, 0]
        self.before_last, self.last = self.last, chosen
        if 0 < len(left) < len(self.number):
            self.states, self.mask, self.number = self.states[left], self.mask[left], self.number[left]
            self.before_last, self.last = self.before_last[left], self.last[left]
            self.cache.batch_select_indices(left)
        return left


def _record(answers: list[Written], rows: _OpenAnswers, chosen: Tensor, tokens: Tensor, near: Tensor) -> None:
    for number, *values in zip(*(part.tolist() for part in (rows.number, chosen, tokens, near)), strict=True):
        for part, value in zip(answers[number], values, strict=True):
            part.append(value)
