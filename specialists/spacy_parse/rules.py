"""The rules that turn tags, heads and dependencies into a Parse (paper, section 4.2). They need no model.

    objects      noun + proper noun                 objects_paper      ... + pronoun
    attributes   adjective + number + participle    attributes_paper   adjective + determiner + number
                 that modifies a noun (amod, acl)
    actions      verb; no auxiliary, no "be"        proper_nouns       as written; all others in lower case

Whole batches are processed as NumPy columns, because reading spaCy's tokens one by one is too slow.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from engine.schema import Chunk, Complexity, Parse
from specialists.spacy_parse.columns import Columns
from specialists.spacy_parse.lemmas import Lemmas
from specialists.spacy_parse.relations import Relations
from specialists.spacy_parse.word_classes import Classifier, WordClasses

if TYPE_CHECKING:
    from spacy.strings import StringStore
    from spacy.tokens import Doc
    from spacy.vocab import Vocab

MAX_REMEMBERED = 100_000  # distinct words


class Words:
    """The words of spaCy's keys, as written and in lower case. Remembers them: spaCy decodes a word at each look."""

    def __init__(self, strings: StringStore) -> None:
        self.strings = strings
        self._written: dict[int, str] = {}
        self._lower: dict[int, str] = {}

    def __call__(self, keys: list[int]) -> tuple[list[str], list[str]]:
        if len(self._written) > MAX_REMEMBERED:
            self._written.clear()
            self._lower.clear()
        for key in set(keys):
            if key not in self._written:
                self._written[key] = self.strings[key]
                self._lower[key] = self._written[key].lower()
        return [self._written[key] for key in keys], [self._lower[key] for key in keys]


class Rules:
    """The rules, prepared for one vocabulary. `lemmas`: without them, relations have the words as they are written."""

    def __init__(
        self, vocab: Vocab, *, pronouns: bool = False, punct_edges: bool = True, lemmas: Lemmas | None = None
    ) -> None:
        self.words = Words(vocab.strings)
        self.pronouns = pronouns
        self.punct_edges = punct_edges
        self.classify = Classifier(vocab)
        self.relations = Relations(self.classify, lemmas or Lemmas())

    def read(self, docs: Sequence[Doc], texts: Sequence[str]) -> list[Parse]:
        """One Parse for each Doc. `texts`: the original texts, from which the texts of chunks are cut."""
        filled = [n for n, doc in enumerate(docs) if len(doc)]
        if not filled:
            return [empty_parse() for _ in docs]
        read = self._read([texts[n] for n in filled], Columns([docs[n] for n in filled]))
        return [next(read) if len(doc) else empty_parse() for doc in docs]

    def _read(self, texts: list[str], t: Columns) -> Iterator[Parse]:
        found = self.classify(t)
        nominal = found.noun | found.pronoun
        objects = nominal if self.pronouns else found.noun
        written, lower = self.words(t.orth.tolist())
        degree = t.degrees(punct_edges=self.punct_edges)
        parses = map(
            Parse,
            t.count_by_text(t.word),
            t.lengths,
            t.sentence_counts,
            t.split(lower, objects),
            t.split(lower, nominal),
            t.split(lower, found.quality | found.participle),
            t.split(lower, found.quality | found.determiner),
            t.split(lower, found.action),
            t.split(written, found.proper),
            t.complexities(degree, objects),
            t.complexities(degree, found.action),
            chunks(texts, t, lower, found),
        )
        for parse, relations in zip(parses, self.relations(t, lower, found), strict=True):
            parse.relations = relations
            yield parse


def chunks(texts: list[str], t: Columns, lower: list[str], classes: WordClasses) -> list[list[Chunk]]:
    """spaCy's base noun phrases: each runs from the leftmost word in the subtree of a head to the head itself. They
    never overlap.
    """
    first = t.first_conjuncts(classes.conjunct)
    heads_chunk = classes.chunk_head | (classes.conjunct & classes.chunk_head[first])
    heads = np.flatnonzero((classes.noun | classes.pronoun) & heads_chunk)
    lefts = classes.edges[heads]
    rows = zip(
        (np.searchsorted(t.bounds, heads, side="right") - 1).tolist(),
        lefts.tolist(),
        heads.tolist(),
        t.char_start[lefts].tolist(),
        (t.char_start[heads] + t.length[heads]).tolist(),
        classes.plural[heads].tolist(),
        strict=True,
    )
    found: list[list[Chunk]] = [[] for _ in texts]
    last = -1
    for owner, left, head, start, end, many in rows:
        if left > last:
            last = head
            found[owner].append(Chunk(start, end, lower[head], many, texts[owner][start:end]))
    return found


def empty_parse() -> Parse:
    return Parse(0, 0, 0, [], [], [], [], [], [], Complexity(), Complexity(), [], relations=[])
