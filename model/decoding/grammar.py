"""Constrained decoding: an automaton over words, locations and marks for each form of target.

Every answer that an automaton allows is parsed without a fault (model/pairs/parsing.py). Every answer that it forbids
has a fault or is not valid UTF-8. For each state the number of tokens to the nearest end is stored, so that an answer
is closed before it reaches the token limit. The automata are compiled to one table, states x tokens, which takes 34 MB
for the released vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from engine.errors import ConfigError
from model.decoding.token_automata import FORBIDDEN, ByteAutomaton, label_automaton, text_automaton, token_bytes
from model.florence2_tasks import Form, task_of
from model.network.florence import Florence
from model.network.vocabulary import Vocabulary
from model.pairs.locations import BINS
from model.pairs.parsing import END_POLY, POLY, SEP

Edges = Mapping[str, str]  # {what may come next: the state after it}
BEGIN, END, WORDS, LOCATION = "begin", "end", "words", "location"
BEGINS = 3  # released checkpoints write <s> up to three times before an answer
_DONE = "done"

# A state is named after the last thing read. `label` stands for all states of a byte automaton (token_automata.py).
_LABEL: dict[str, Edges] = {"start": {WORDS: "label", END: _DONE}}
_BOX: dict[str, Edges] = {"x1": {LOCATION: "y1"}, "y1": {LOCATION: "x2"}, "x2": {LOCATION: "y2"}}
_BOUNDED = ("y1", "x2")  # after these comes x2 or y2, which must be at least x1 or y1
_QUAD: dict[str, Edges] = {f"q{n}": {LOCATION: f"q{n + 1}"} for n in range(1, 8)}


def _outline(prefix: str, ends: Edges) -> dict[str, Edges]:
    """The states of an outline: parts of three points or more, with <sep> between them. `prefix`: starts the names of
    the states. `ends`: what may follow a complete part.
    """
    points: dict[str, Edges] = {f"{prefix}{n}": {LOCATION: f"{prefix}{n + 1}"} for n in range(6)}
    points[f"{prefix}6"] = {LOCATION: f"{prefix}7", SEP: f"{prefix}0", **ends}
    return points | {f"{prefix}7": {LOCATION: f"{prefix}6"}}


_WRAPPED = _outline("p", {END_POLY: "closed"})
_BARE = _outline("b", {END: _DONE})
_NEXT: Edges = {WORDS: "label", END: _DONE}
_LABELLED: dict[str, Edges] = {**_LABEL, "label": {LOCATION: "x1"}, **_BOX, "y2": {LOCATION: "x1", **_NEXT}}
_SHAPES: dict[str, Edges] = {"label": {LOCATION: "x1", POLY: "p0"}, "y2": _NEXT, "closed": {POLY: "p0", **_NEXT}}
_SOME: dict[str, Edges] = {"start": {LOCATION: "b1", POLY: "p0", END: _DONE}, "closed": {POLY: "p0", END: _DONE}}
MACHINES: dict[Form, dict[str, Edges]] = {
    "text": {**_LABEL, "label": {END: _DONE}},
    "boxes": {"start": {LOCATION: "x1", END: _DONE}, **_BOX, "y2": {LOCATION: "x1", END: _DONE}},
    "labelled_boxes": _LABELLED,
    "phrases": _LABELLED,
    "repeated_boxes": {**_LABEL, **_BOX, **_WRAPPED, **_SHAPES},
    "quads": {**_LABEL, "label": {LOCATION: "q1"}, **_QUAD, "q8": _NEXT},
    "polygons": {**_SOME, **_BARE, **_WRAPPED},
}


class Grammar:
    """The automata of all forms for one vocabulary. `width`: number of logits, which may exceed the size of the
    vocabulary.
    """

    def __init__(self, vocabulary: Vocabulary, width: int, device: Any = "cpu") -> None:
        builder = _TableBuilder(vocabulary, width)
        self.first = vocabulary.first_location
        self.starts = builder.starts
        self.table = torch.from_numpy(builder.table).to(device)  # states x tokens: the next state, or FORBIDDEN
        self.left = torch.from_numpy(builder.left).to(device)  # fewest tokens from each state to the end
        self.longest = int(builder.left.max())
        self.bounded = torch.tensor(builder.bounded, device=device)
        self.bins = torch.arange(BINS, device=device)

    def start(self, tasks: Sequence[str], limit: int) -> Tensor:
        """The initial state of each answer. Raises ConfigError if even an empty answer needs more than `limit`
        tokens.
        """
        states = torch.tensor([self.starts[task_of(task).form] for task in tasks], device=self.table.device)
        if len(states) and int(self.left[states].max()) > limit:
            raise ConfigError(
                f"max_new_tokens is {limit}, less than the start and end tokens of an answer need: give a higher limit."
            )
        return states

    def allowed(self, logits: Tensor, states: Tensor, before_last: Tensor, remaining: int) -> Tensor:
        """The logits with forbidden tokens set to -inf.

        `before_last`: for each row, the token before its last one. `remaining`: how many tokens may still be written,
        including the one to choose now.
        """
        after = self.table[states]
        bad = after < 0
        if remaining <= self.longest:
            bad |= self.left[after.long()] >= remaining
        least = torch.where(self.bounded[states], before_last - self.first, 0)
        bad[:, self.first : self.first + BINS] |= self.bins < least[:, None]
        return logits.masked_fill(bad, -torch.inf)

    def after(self, states: Tensor, tokens: Tensor) -> Tensor:
        """The state of each row after one more token. A row that violates the grammar is treated as finished."""
        return self.table[states, tokens].long().clamp(min=0)


_CACHE: WeakKeyDictionary[Vocabulary, dict[tuple[int, str], Grammar]] = WeakKeyDictionary()


def grammar_of(florence: Florence) -> Grammar:
    """The grammar of a model, cached by vocabulary and device."""
    key = int(florence.model.lm_head.out_features), str(florence.device)
    grammars = _CACHE.setdefault(florence.vocabulary, {})
    if key not in grammars:
        grammars[key] = Grammar(florence.vocabulary, *key)
    return grammars[key]


class _TableBuilder:
    """Builds the table of a Grammar. State 0 is the end, which only padding may follow."""

    def __init__(self, vocabulary: Vocabulary, width: int) -> None:
        self.starts: dict[Form, int] = {}
        self.bounded: list[bool] = [False]
        self._width = width
        locations = slice(vocabulary.first_location, vocabulary.first_location + BINS)
        self._ids: dict[str, int | slice] = {
            BEGIN: vocabulary.bos,
            END: vocabulary.eos,
            LOCATION: locations,
            **vocabulary.marks,
        }
        self._rows = [self._row({}, {})]
        self._rows[0][vocabulary.pad] = 0
        written = token_bytes(vocabulary.tokenizer, width, vocabulary.added)
        after_tokens = {kind: kind.states_after(written) for kind in (label_automaton(), text_automaton())}
        for form, machine in MACHINES.items():
            twins = [other for other in self.starts if MACHINES[other] is machine]
            kind = text_automaton() if form == "text" else label_automaton()
            self.starts[form] = self.starts[twins[0]] if twins else self._add(machine, kind, after_tokens[kind])
        self.table = np.stack(self._rows)
        self.left = _shortest_ways(self.table)
        self.table[(self.left < 0)[self.table]] = (
            FORBIDDEN  # removes dead ends, which exist if the vocabulary lacks some bytes
        )

    def _add(self, machine: Mapping[str, Edges], automaton: ByteAutomaton, after_tokens: npt.NDArray[np.int16]) -> int:
        """Appends the states of one automaton. Returns its initial state."""
        edges = _with_begins(machine)
        numbers = {name: len(self._rows) + offset for offset, name in enumerate((*edges, "label"))} | {_DONE: 0}
        words = np.where(after_tokens >= 0, after_tokens + numbers["label"], FORBIDDEN).astype(np.int16)
        for name, own in edges.items():
            self._rows.append(self._row(own, numbers, words[0]))
            self.bounded.append(name in _BOUNDED)
        if "label" in machine:
            for follows, is_final in zip(words, automaton.is_final, strict=True):
                row = self._row(machine["label"] if is_final else {}, numbers)
                self._rows.append(np.where(follows >= 0, follows, row))
                self.bounded.append(False)
        return numbers["begin0"]

    def _row(
        self, edges: Edges, numbers: Mapping[str, int], words: npt.NDArray[np.int16] | None = None
    ) -> npt.NDArray[np.int16]:
        row = np.full(self._width, FORBIDDEN, np.int16)
        for what, state in edges.items():
            if what == WORDS and words is not None:
                row = np.where(words >= 0, words, row)
            else:
                row[self._ids[what]] = numbers[state]
        return row


def _with_begins(machine: Mapping[str, Edges]) -> dict[str, Edges]:
    """The states of a machine except those of `label`, with states for up to BEGINS tokens <s> at the start."""
    edges: dict[str, Edges] = {"begin0": {BEGIN: "begin1"}}
    for number in range(1, BEGINS + 1):
        again = {BEGIN: f"begin{number + 1}"} if number < BEGINS else {}
        edges[f"begin{number}"] = {**machine["start"], **again}
    return edges | {name: own for name, own in machine.items() if name not in ("start", "label")}


def _shortest_ways(table: npt.NDArray[np.int16]) -> npt.NDArray[np.int64]:
    """The fewest tokens from each state to the end; -1 if the end cannot be reached."""
    leads = [np.flatnonzero(np.bincount(row[row >= 0], minlength=1)) for row in table]
    left = np.full(len(table), -1, np.int64)
    left[0], distance = 0, 0
    while (left == distance).any():
        near = [state for state, to in enumerate(leads) if left[state] < 0 and (left[to] == distance).any()]
        distance += 1
        left[near] = distance
    return left
