"""The tokens of many spaCy Docs as columns, and a correction of the tagger's most common mistake.

Offsets are code points. `head` is a position among all tokens of the batch, not within one text.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from engine.schema import Complexity

if TYPE_CHECKING:
    from spacy.tokens import Doc

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


class Columns:
    """The tokens of several non-empty Docs as columns, one Doc after another."""

    def __init__(self, docs: Sequence[Doc]) -> None:
        from spacy import attrs

        wanted: list[Any] = [attrs.TAG, attrs.DEP, attrs.HEAD, attrs.LOWER, attrs.ORTH, attrs.IDX, attrs.LENGTH]
        wanted += [attrs.IS_PUNCT, attrs.IS_SPACE, attrs.SENT_START]
        self.lengths = [len(doc) for doc in docs]
        self.bounds: Ints = np.concatenate([[0], np.cumsum(self.lengths)])
        rows = np.concatenate([doc.to_array(wanted) for doc in docs]).T
        self.tag, self.dep, head, self.lower, self.orth = rows[:5]
        self.char_start, self.length = rows[5].astype(np.int64), rows[6].astype(np.int64)
        self.punct, self.space = rows[7].astype(bool), rows[8].astype(bool)
        self.word: Bools = ~(self.punct | self.space)
        self.position = np.arange(len(self.tag))
        self.head: Ints = self.position + head.view(
            np.int64
        )  # spaCy stores the head's position relative to the token, as uint64
        self._sentences(rows[9])

    def _sentences(self, starts: npt.NDArray[np.uint64]) -> None:
        """Finds the sentences. A sentence without a word (a line break, dots) does not count."""
        begins = starts == 1
        begins[self.bounds[:-1]] = True
        self.sentence_starts = np.flatnonzero(begins)
        real = np.add.reduceat(self.word.astype(np.int64), self.sentence_starts) > 0
        self.sentence_text = (np.searchsorted(self.bounds, self.sentence_starts, side="right") - 1)[real]
        self.real_sentence = real
        self.sentence_counts: list[int] = self._per_text(self.sentence_text).astype(np.int64).tolist()

    def _per_text(self, owner: Ints, values: npt.NDArray[Any] | None = None) -> npt.NDArray[Any]:
        return np.bincount(owner, values, minlength=len(self.lengths))

    def count_by_text(self, mask: Bools) -> list[int]:
        return list(np.add.reduceat(mask.astype(np.int64), self.bounds[:-1]).tolist())

    def split(self, forms: Sequence[str], mask: Bools) -> list[list[str]]:
        """The forms of the tokens where the mask is true, as one list for each text."""
        at = np.flatnonzero(mask)
        chosen = [forms[n] for n in at.tolist()]
        return [chosen[a:b] for a, b in pairwise(np.searchsorted(at, self.bounds).tolist())]

    def degrees(self, *, punct_edges: bool) -> Ints:
        """The degree of each word in the dependency tree: the number of its children, plus one if it is not the root.
        `punct_edges`: whether punctuation marks count as children.
        """
        child = (self.head != self.position) & ~self.space
        if not punct_edges:
            child &= ~self.punct
        degrees: Ints = np.bincount(self.head[child], minlength=len(self.head)) + child
        return degrees

    def complexities(self, degree: Ints, mask: Bools) -> list[Complexity]:
        """The Complexity of each text: the paper's measure, and the mean and maximum degree over the words in the mask.

        The paper takes the highest degree in each sentence (0 if it has no such word), and averages over the sentences.
        """
        counted = np.where(mask, degree, 0)
        peaks = np.maximum.reduceat(counted, self.sentence_starts)[self.real_sentence]
        paper = self._per_text(self.sentence_text, peaks) / np.maximum(self.sentence_counts, 1)
        begins = self.bounds[:-1]
        mean = np.add.reduceat(counted, begins) / np.maximum(np.add.reduceat(mask.astype(np.int64), begins), 1)
        top = np.maximum.reduceat(counted, begins).astype(np.float64)
        return list(map(Complexity, paper.tolist(), mean.tolist(), top.tolist()))

    def first_conjuncts(self, conjunct: Bools) -> Ints:
        """For each word, the first member of the enumeration that its head belongs to. If there is no enumeration, the
        head.
        """
        first = self.head.copy()
        while (back := conjunct[first] & (self.head[first] < first)).any():
            first[back] = self.head[first[back]]
        return first

    def left_edges(self) -> Ints:
        """The leftmost word in the subtree of each word. Each step doubles the distance covered, so a chain of 1,000
        heads takes ten steps.
        """
        edges, reach = self.position.copy(), self.head
        while True:
            np.minimum.at(edges, reach, edges.copy())
            if np.array_equal(further := reach[reach], reach):
                return edges
            reach = further


def verbs_tagged_as_nouns(
    t: Columns, edges: Ints, plural: Bools, singular: Bools, article: Bools, of_plural: Bools, verb_form: Bools
) -> Ints:
    """Positions of verbs that were tagged as plural nouns: "a dog watches", "a remote spans the table".

    "a" cannot belong to a plural noun. So if the leftmost word of a plural is "a", the plural must be a verb, and the
    word before it is its subject. After an adjective, only `verb_form` words count as verbs. `of_plural`: words that
    may stand between "a" and a real plural ("a few", "and"). In captions of COCO this finds 100 words. 85 are verbs,
    and the others are mistakes of the authors ("a khaki pants").
    """
    at = np.flatnonzero(plural)
    left = edges[at]
    at, left = at[at - left > 1], left[at - left > 1]
    passed = np.append(0, np.cumsum(of_plural))
    before = at - 1
    under = (t.head[left] == at) | (t.head[left] == before)
    agreed = article[left] & under & (passed[at] == passed[left])
    found: Ints = at[agreed & (t.head[before] == at) & (singular[before] | verb_form[at])]
    return found
