"""Decoding that can write nothing but targets: for each form of answer a machine over words, locations and marks.

What a machine lets through, model/pairs/parsing.py reads without a fault; what it forbids, the parser would refuse
(but for texts that are no valid UTF-8). Every state knows how many tokens the shortest way to the end takes, so that an
answer closes before its
limit. The machines are compiled to one table of states x tokens, 34 MB for the released vocabulary.
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
from model.decoding.token_automata import FORBIDDEN, Spelling, labels, texts, token_bytes
from model.network.florence import Florence
from model.network.vocabulary import Vocabulary
from model.pairs.locations import BINS
from model.pairs.parsing import END_POLY, POLY, SEP
from model.pairs.tasks import Form, task_of

Edges = Mapping[str, str]  # what may come: the state it leads to
BEGIN, END, WORDS, LOCATION = "begin", "end", "words", "location"
BEGINS = 3  # released checkpoints write <s> up to three times before an answer
_DONE = "done"

# A state is called by what was read last. `label` stands for the states of a spelling, which says where it may end.
_LABEL: dict[str, Edges] = {"start": {WORDS: "label", END: _DONE}}
_BOX: dict[str, Edges] = {"x1": {LOCATION: "y1"}, "y1": {LOCATION: "x2"}, "x2": {LOCATION: "y2"}}
_BOUNDED = ("y1", "x2")  # what follows is no less than the location before the last
_QUAD: dict[str, Edges] = {f"q{n}": {LOCATION: f"q{n + 1}"} for n in range(1, 8)}


def _outline(place: str, ends: Edges) -> dict[str, Edges]:
    """Parts of three points or more, <sep> between them."""
    points: dict[str, Edges] = {f"{place}{n}": {LOCATION: f"{place}{n + 1}"} for n in range(6)}
    points[f"{place}6"] = {LOCATION: f"{place}7", SEP: f"{place}0", **ends}
    return points | {f"{place}7": {LOCATION: f"{place}6"}}


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
    """The machines over the tokens of a vocabulary. `width`: of the logits, which may hold more than tokens."""

    def __init__(self, vocabulary: Vocabulary, width: int, device: Any = "cpu") -> None:
        draft = _Draft(vocabulary, width)
        self.first = vocabulary.first_location
        self.starts = draft.starts
        self.table = torch.from_numpy(draft.table).to(device)  # states x tokens: the state after, or FORBIDDEN
        self.left = torch.from_numpy(draft.left).to(device)  # tokens of the shortest way from a state to the end
        self.longest = int(draft.left.max())
        self.bounded = torch.tensor(draft.bounded, device=device)
        self.bins = torch.arange(BINS, device=device)

    def start(self, tasks: Sequence[str], limit: int) -> Tensor:
        """The states in which answers begin. ConfigError if not even an empty one has room."""
        states = torch.tensor([self.starts[task_of(task).form] for task in tasks], device=self.table.device)
        if len(states) and int(self.left[states].max()) > limit:
            raise ConfigError(f"An answer of {limit} tokens has no room for its beginning and its end: allow more.")
        return states

    def allowed(self, logits: Tensor, states: Tensor, before_last: Tensor, remaining: int) -> Tensor:
        """The logits, those of tokens that may not come at -inf. `before_last`: the token before the last of each row.

        `remaining`: how many tokens may still come, the one that is chosen now among them.
        """
        after = self.table[states]
        bad = after < 0
        if remaining <= self.longest:
            bad |= self.left[after.long()] >= remaining
        least = torch.where(self.bounded[states], before_last - self.first, 0)
        bad[:, self.first : self.first + BINS] |= self.bins < least[:, None]
        return logits.masked_fill(bad, -torch.inf)

    def after(self, states: Tensor, tokens: Tensor) -> Tensor:
        """The states after one more token each. What broke the grammar is taken for finished."""
        return self.table[states, tokens].long().clamp(min=0)


_MADE: WeakKeyDictionary[Vocabulary, dict[tuple[int, str], Grammar]] = WeakKeyDictionary()


def grammar_of(florence: Florence) -> Grammar:
    """Made once for a vocabulary and a device."""
    key = int(florence.model.lm_head.out_features), str(florence.device)
    made = _MADE.setdefault(florence.vocabulary, {})
    if key not in made:
        made[key] = Grammar(florence.vocabulary, *key)
    return made[key]


class _Draft:
    """The table while it is made. State 0 is the end, in which nothing comes but padding."""

    def __init__(self, vocabulary: Vocabulary, width: int) -> None:
        self.starts: dict[Form, int] = {}
        self.bounded: list[bool] = [False]
        self._width = width
        places = slice(vocabulary.first_location, vocabulary.first_location + BINS)
        self._ids: dict[str, int | slice] = {
            BEGIN: vocabulary.bos,
            END: vocabulary.eos,
            LOCATION: places,
            **vocabulary.marks,
        }
        self._rows = [self._row({}, {})]
        self._rows[0][vocabulary.pad] = 0
        written = token_bytes(vocabulary.tokenizer, width, vocabulary.added)
        spelt = {kind: kind.after(written) for kind in (labels(), texts())}
        for form, machine in MACHINES.items():
            twins = [other for other in self.starts if MACHINES[other] is machine]
            kind = texts() if form == "text" else labels()
            self.starts[form] = self.starts[twins[0]] if twins else self._add(machine, kind, spelt[kind])
        self.table = np.stack(self._rows)
        self.left = _left(self.table)
        self.table[(self.left < 0)[self.table]] = FORBIDDEN  # no way out: a vocabulary that lacks bytes

    def _add(self, machine: Mapping[str, Edges], spelling: Spelling, spelt: npt.NDArray[np.int16]) -> int:
        """The states of one machine behind those there are. Where it starts."""
        edges = _with_begins(machine)
        numbers = {name: len(self._rows) + place for place, name in enumerate((*edges, "label"))} | {_DONE: 0}
        words = np.where(spelt >= 0, spelt + numbers["label"], FORBIDDEN).astype(np.int16)
        for name, own in edges.items():
            self._rows.append(self._row(own, numbers, words[0]))
            self.bounded.append(name in _BOUNDED)
        if "label" in machine:
            for follows, whole in zip(words, spelling.whole, strict=True):
                row = self._row(machine["label"] if whole else {}, numbers)
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
    """`start` as often as <s> may come before it; without `label`, which is many states."""
    edges: dict[str, Edges] = {"begin0": {BEGIN: "begin1"}}
    for number in range(1, BEGINS + 1):
        again = {BEGIN: f"begin{number + 1}"} if number < BEGINS else {}
        edges[f"begin{number}"] = {**machine["start"], **again}
    return edges | {name: own for name, own in machine.items() if name not in ("start", "label")}


def _left(table: npt.NDArray[np.int16]) -> npt.NDArray[np.int64]:
    """Tokens of the shortest way from each state to the end; -1 where there is none."""
    leads = [np.flatnonzero(np.bincount(row[row >= 0], minlength=1)) for row in table]
    left = np.full(len(table), -1, np.int64)
    left[0], distance = 0, 0
    while (left == distance).any():
        near = [state for state, to in enumerate(leads) if left[state] < 0 and (left[to] == distance).any()]
        distance += 1
        left[near] = distance
    return left
