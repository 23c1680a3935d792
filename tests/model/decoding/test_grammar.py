"""Constrained decoding allows exactly the targets that the parser accepts, and ends before the limit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from engine.errors import ConfigError
from model.decoding.grammar import Grammar, grammar_of
from model.decoding.predict import predict
from model.florence2_tasks import TASKS
from model.network.encoding import padded
from model.pairs.compile import compile_pairs
from model.pairs.parsing import label_fault, parse_lexemes, text_fault
from tests.model.pictured import HEIGHT, WIDTH, pictured
from tests.model.tiny import all_questions, led, noise, tiny

KINDS = {
    "words": lambda words: torch.arange(words.first_location),
    "locations": lambda words: torch.arange(words.first_location, words.first_location + 1000),
    "marks": lambda words: torch.tensor(sorted([*words.marks.values(), words.eos])),
}


@pytest.mark.parametrize("limit", [2, 3, 5, 9, 14, 40])
@pytest.mark.parametrize("kind", KINDS)
def test_every_allowed_answer_parses_without_a_fault_and_ends_before_the_limit(kind: str, limit: int) -> None:
    grammar, words = grammar_of(tiny()), tiny().vocabulary
    tasks = list(TASKS) * 12
    random = torch.Generator().manual_seed(limit)
    states = grammar.start(tasks, limit)
    ids = torch.full((len(tasks), 1), words.eos)
    for place in range(limit):
        logits = 4 * torch.randn(len(tasks), grammar.table.shape[1], generator=random)
        logits[:, KINDS[kind](words)] += 3  # words far outnumber marks
        before_last = ids[:, -2] if place else ids[:, -1]
        chosen = grammar.allowed(logits, states, before_last, limit - place).argmax(dim=1)
        states = grammar.after(states, chosen)
        ids = torch.cat([ids, chosen[:, None]], dim=1)
    for task, row in zip(tasks, ids[:, 1:].tolist(), strict=True):
        assert words.eos in row
        answer = row[: row.index(words.eos)]
        assert set(row[len(answer) + 1 :]) <= {words.pad}
        assert parse_lexemes(task, words.lex_ids(answer), width=100, height=100).faults == [], (task, answer)


def accepts(task: str, ids: list[int]) -> bool:
    """Whether the grammar allows an answer of exactly these tokens between <s> and </s>."""
    grammar, words = grammar_of(tiny()), tiny().vocabulary
    states = grammar.start([task], len(ids) + 2)
    before = last = torch.tensor([words.eos])
    for place, token in enumerate([words.bos, *ids, words.eos]):
        logits = torch.zeros(1, grammar.table.shape[1])
        if torch.isinf(grammar.allowed(logits, states, before, len(ids) + 2 - place)[0, token]):
            return False
        states = grammar.after(states, torch.tensor([token]))
        before, last = last, torch.tensor([token])
    return int(states[0]) == 0


def test_every_target_of_every_task_is_allowed() -> None:
    pairs = compile_pairs(pictured(), width=WIDTH, height=HEIGHT).pairs
    assert {pair.task for pair in pairs} == set(TASKS)
    for pair in pairs:
        assert accepts(pair.task, tiny().target_ids(pair.target)[1:-1]), pair


@settings(max_examples=40)
@given(st.text(max_size=6))
def test_a_label_is_allowed_exactly_if_it_has_no_fault(label: str) -> None:
    ids = tiny().tokenizer(label, add_special_tokens=False)["input_ids"]
    four = [tiny().vocabulary.first_location + 5] * 4
    assert accepts("<OD>", ids + four) == (label_fault(label) == "")


@settings(max_examples=40)
@given(
    st.lists(st.sampled_from(["<", "loc", "_1", "9", ">", "<sep", "</s", "<lo", "é", "猫", " ", "\n", "a"]), max_size=6)
)
def test_a_text_is_allowed_exactly_if_it_has_no_reserved_token(parts: list[str]) -> None:
    text = "".join(parts)
    spelt = [i for part in text for i in tiny().tokenizer(part, add_special_tokens=False)["input_ids"]]
    assert accepts("<CAPTION>", spelt) == (text_fault(text) in ("", "empty"))


def test_an_answer_may_not_end_inside_a_character() -> None:
    cat = tiny().tokenizer("猫", add_special_tokens=False)["input_ids"]
    assert len(cat) > 1
    assert accepts("<CAPTION>", cat)
    assert not accepts("<CAPTION>", cat[:-1])
    assert not accepts("<CAPTION>", cat[1:])


TARGETS = {
    "<OD>": "ball<loc_10><loc_20><loc_300><loc_400>ring<loc_5><loc_6><loc_7><loc_8>",
    "<REGION_PROPOSAL>": "<loc_10><loc_20><loc_300><loc_400>",
    "<OPEN_VOCABULARY_DETECTION>": "ball<poly><loc_1><loc_2><loc_3><loc_4><loc_5><loc_6></poly>",
    "<CAPTION>": "a red ball",
}


@pytest.mark.parametrize("task", TARGETS)
def test_constrained_decoding_equals_free_decoding_if_that_is_valid(task: str) -> None:
    """For a model that has learned its targets a little, better, and well."""
    images, questions = noise(4, seed=3), all_questions(4, [task])
    same = valid = 0
    for strength in np.linspace(0, 40, 9):
        with led(tiny(), tiny().target_ids(TARGETS[task]), float(strength)):
            free = predict(tiny(), images, questions, constrained=False, max_new_tokens=24)
            held = predict(tiny(), images, questions, max_new_tokens=24)
        assert not any(answer.parsed.faults for answer in held)
        for one, other in zip(free, held, strict=True):
            if one.ids[0] == tiny().vocabulary.bos and not one.parsed.faults and not one.cut:
                valid += 1
                same += one.ids == other.ids
    assert same == valid
    assert 4 <= valid < 36  # of 36: some were learned, some not


class Constraint:
    """The grammar as a logits processor for `generate` of transformers, with one answer or several beams a prompt.

    `tasks`: of each prompt. `limit`: max_new_tokens of `generate`.
    """

    def __init__(self, grammar: Grammar, tasks: Sequence[str], limit: int) -> None:
        self.grammar, self.limit = grammar, limit
        self._starts = grammar.start(tasks, limit)
        self._read = torch.zeros(0, 0)
        self._states = self._starts

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        self._follow(input_ids)
        remaining = self.limit - (input_ids.shape[1] - 1)
        before_last = input_ids[:, -2] if input_ids.shape[1] > 1 else input_ids[:, -1]
        return self.grammar.allowed(scores, self._states, before_last, remaining)

    def _follow(self, input_ids: Tensor) -> None:
        """Advance by one token; start again from the beginning if beams were reordered."""
        known = self._read.shape[1]
        if known + 1 != input_ids.shape[1] or not known or not torch.equal(self._read, input_ids[:, :-1]):
            self._states, known = self._starts.repeat_interleave(len(input_ids) // len(self._starts)), 1
        for place in range(known, input_ids.shape[1]):  # position 0 is the decoder's start token
            self._states = self.grammar.after(self._states, input_ids[:, place])
        self._read = input_ids.clone()


def test_generate_of_transformers_with_the_same_constraint_writes_the_same() -> None:
    florence, questions = tiny(), all_questions(1)
    ours = predict(florence, noise(1), questions, max_new_tokens=24)
    ids, mask = padded([florence.prompt_ids(question.prompt) for question in questions], florence.vocabulary.pad, "cpu")
    theirs = florence.model.generate(
        input_ids=ids,
        attention_mask=mask,
        pixel_values=florence.pixel_values(noise(1) * len(questions)),
        logits_processor=[Constraint(grammar_of(florence), [question.task for question in questions], 24)],
        max_new_tokens=24,
        num_beams=1,
        do_sample=False,
    )
    for row, answer in zip(theirs[:, 1:].tolist(), ours, strict=True):
        assert row[: len(answer.ids)] == answer.ids
        assert set(row[len(answer.ids) :]) <= {florence.vocabulary.pad}


def test_a_constrained_beam_search_writes_nothing_malformed() -> None:
    florence, words = tiny(), tiny().vocabulary
    (question,) = all_questions(1, ["<OD>"])
    written = florence.model.generate(
        input_ids=torch.tensor([florence.prompt_ids(question.prompt)]),
        pixel_values=florence.pixel_values(noise(1)),
        logits_processor=[Constraint(grammar_of(florence), [question.task], 20)],
        max_new_tokens=20,
        num_beams=3,
        num_return_sequences=3,
        do_sample=False,
    )
    assert len({tuple(row) for row in written.tolist()}) == 3
    for row in written[:, 1:].tolist():
        assert words.eos in row
        assert parse_lexemes(question.task, words.lex_ids(row), width=9, height=9).faults == []


def test_a_limit_too_low_for_an_empty_answer_is_refused() -> None:
    with pytest.raises(ConfigError, match="max_new_tokens is 1, less than the start and end"):
        predict(tiny(), noise(1), all_questions(1, ["<OD>"]), max_new_tokens=1)
