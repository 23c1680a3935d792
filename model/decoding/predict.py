"""What a Florence-2 answers: greedy, many questions at a time, with a score for every region and text.

The vision tower sees an image once for all its questions. Decoding is held to the grammar of targets unless told
otherwise, so that nothing is malformed; free answers are parsed as strictly, and what is wrong with them is told.
Beams and n-gram bans of a checkpoint's generation config are not used: they cut answers short and forbid locations.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from model.decoding.grammar import Grammar, grammar_of
from model.decoding.likelihood import Likelihood, likelihood, token_scores
from model.network.encoding import Ask, Encoded, Seen, encode, prompt_tokens, windows
from model.network.florence import Florence, Pixels
from model.network.vocabulary import Vocabulary
from model.pairs.locations import BINS
from model.pairs.parsing import Parsed, parse
from model.pairs.tasks import TASKS

Location = Literal["argmax", "median"]


@dataclass(frozen=True, slots=True)
class Prediction:
    """`ids`: the answer's tokens, its end among them; places in `parsed` are places among `ids`.

    `cut`: it ran into the limit, where constrained answers close in time: more may have been meant.
    """

    ids: list[int]
    parsed: Parsed
    likelihood: Likelihood
    cut: bool = False


def predict(
    florence: Florence,
    images: Sequence[Pixels] | Seen,
    asks: Sequence[Ask],
    *,
    batch_size: int = 16,
    max_new_tokens: int = 1024,
    constrained: bool = True,
    location: Location = "argmax",
) -> list[Prediction]:
    """One prediction for each ask, in the same order; coordinates in pixels of the images as given.

    `batch_size`: of images in the vision tower, and of questions in the decoder. `max_new_tokens`: at most as many as
    the decoder holds. `location`: the most probable one, or the weighted median of all, which is far better of
    small models. ValueError for a prompt that is too long.
    """
    writer = _Writer(florence, min(max_new_tokens, florence.places), constrained, location)
    answers: dict[int, Prediction] = {}
    for seen, first, batch in batches(florence, images, asks, batch_size):
        encoded = encode(florence, seen, [(ask.image - first, tokens) for _, ask, tokens in batch])
        tasks = [ask.task for _, ask, _ in batch]
        sizes = [seen.sizes[ask.image - first] for _, ask, _ in batch]
        for (number, _, _), task, size, written in zip(batch, tasks, sizes, writer.write(encoded, tasks), strict=True):
            ids, tokens, near = written
            cut = len(ids) == writer.limit
            answers[number] = judged(florence.vocabulary, task, size, ids, tokens, near, cut=cut)
    return [answers[number] for number in range(len(asks))]


def judged(
    words: Vocabulary,
    task: str,
    size: tuple[int, int],
    ids: list[int],
    tokens: list[float],
    near: list[float],
    *,
    cut: bool = False,
) -> Prediction:
    """What `ids` say, and how probable each part of it is. `size`: width and height of the image."""
    parsed = parse(task, words.lex_ids(ids), width=size[0], height=size[1])
    return Prediction(ids, parsed, likelihood(task, parsed, ids, tokens, near, words), cut)


Numbered = tuple[int, Ask, list[int]]  # its place among the asks; the tokens of its prompt


def batches(
    florence: Florence, images: Sequence[Pixels] | Seen, asks: Sequence[Ask], size: int
) -> Iterator[tuple[Seen, int, list[Numbered]]]:
    """Questions to some images that have been seen, the number of the first of these, and alike questions together.

    Answers of one task are about as long, so that few wait for the longest.
    """
    order = {task: number for number, task in enumerate(TASKS)}
    by_image: dict[int, list[Numbered]] = {}
    prompts: dict[str, list[int]] = {}
    for number, ask in enumerate(asks):
        if ask.prompt not in prompts:
            prompts[ask.prompt] = prompt_tokens(florence, ask.prompt)
        by_image.setdefault(ask.image, []).append((number, ask, prompts[ask.prompt]))
    for first, seen in windows(florence, images, size):
        own = [entry for image in range(first, first + len(seen.sizes)) for entry in by_image.get(image, ())]
        own.sort(key=lambda entry: (order[entry[1].task], len(entry[2])))
        for start in range(0, len(own), size):
            yield seen, first, own[start : start + size]


Written = tuple[list[int], list[float], list[float]]  # tokens, and as TokenScores of each


class _Writer:
    """The greedy decoder. `limit`: tokens of an answer at most."""

    def __init__(self, florence: Florence, limit: int, constrained: bool, location: Location) -> None:
        self.florence, self.limit, self.location = florence, limit, location
        self.words = florence.vocabulary
        self.grammar: Grammar | None = grammar_of(florence) if constrained else None
        settings = florence.model.generation_config
        self.first, self.last = settings.forced_bos_token_id, settings.forced_eos_token_id
        self.start = int(florence.model.config.text_config.decoder_start_token_id)

    @torch.inference_mode()
    def write(self, encoded: Encoded, tasks: Sequence[str]) -> list[Written]:
        rows = _Rows(self.florence.model, encoded, self.start)
        states = self.grammar.start(tasks, self.limit) if self.grammar else rows.number
        answers: list[Written] = [([], [], []) for _ in tasks]
        for place in range(self.limit):
            logits = rows.logits()
            chosen = self._chosen(logits, states, rows, place)
            scores = token_scores(logits, chosen, self.words.first_location)
            _record(answers, rows, chosen, scores.tokens, scores.near)
            if self.grammar:
                states = self.grammar.after(states, chosen)
            going = rows.add(chosen, chosen != self.words.eos)
            if not len(going):
                break
            states = states[going]
        return answers

    def _chosen(self, logits: Tensor, states: Tensor, rows: _Rows, place: int) -> Tensor:
        if self.grammar:
            logits = self.grammar.allowed(logits, states, rows.before_last, self.limit - place)
        elif place == self.limit - 1 and self.last is not None:
            return torch.full_like(rows.number, self.last)
        elif place == 0 and self.first is not None:
            return torch.full_like(rows.number, self.first)
        chosen = logits.argmax(dim=1)
        return chosen if self.location == "argmax" else self._medians(logits, chosen)

    def _medians(self, logits: Tensor, chosen: Tensor) -> Tensor:
        """Locations replaced by the median of what the model thinks of all that may stand there."""
        first = self.words.first_location
        is_location = (chosen >= first) & (chosen < first + BINS)
        below = logits[:, first : first + BINS].double().softmax(dim=1).cumsum(dim=1)
        median = (below < 0.5).sum(dim=1).clamp(max=BINS - 1)
        return torch.where(is_location, first + median, chosen)


class _Rows:
    """The answers that are not finished, and what the decoder remembers of them. `number`: which they are."""

    def __init__(self, model: Any, encoded: Encoded, start: int) -> None:
        from transformers import DynamicCache, EncoderDecoderCache

        self.decoder, self.head = model.model.language_model.decoder, model.lm_head
        self.states, self.mask = encoded.states, encoded.mask
        self.number = torch.arange(len(encoded.states), device=encoded.states.device)
        self.last = self.before_last = torch.full_like(self.number, start)
        self.cache: Any = EncoderDecoderCache(DynamicCache(), DynamicCache())

    def logits(self) -> Tensor:
        """Rows x vocabulary, float32, of the token that comes next."""
        outputs = self.decoder(
            input_ids=self.last[:, None],
            encoder_hidden_states=self.states,
            encoder_attention_mask=self.mask,
            past_key_values=self.cache,
            use_cache=True,
        )
        logits: Tensor = self.head(outputs.last_hidden_state[:, -1]).float()
        return logits

    def add(self, chosen: Tensor, going: Tensor) -> Tensor:
        """One token further; the rows that are finished are forgotten. Which of the rows stay."""
        stay = going.nonzero()[:, 0]
        self.before_last, self.last = self.last, chosen
        if 0 < len(stay) < len(self.number):
            self.states, self.mask, self.number = self.states[stay], self.mask[stay], self.number[stay]
            self.before_last, self.last = self.before_last[stay], self.last[stay]
            self.cache.batch_select_indices(stay)
        return stay


def _record(answers: list[Written], rows: _Rows, chosen: Tensor, tokens: Tensor, near: Tensor) -> None:
    for number, *values in zip(*(part.tolist() for part in (rows.number, chosen, tokens, near)), strict=True):
        for kept, value in zip(answers[number], values, strict=True):
            kept.append(value)
