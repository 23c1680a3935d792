"""The rules that turn tags, heads and dependencies into a Parse (paper, section 4.2). They need no model.

    objects      noun + proper noun                 objects_paper      ... + pronoun
    attributes   adjective + number + participle    attributes_paper   adjective + determiner + number
                 that modifies a noun (amod, acl)
    actions      verb; no auxiliary, no "be"        proper_nouns       as written; all others in lower case

Whole batches are processed as NumPy columns, because reading spaCy's tokens one by one is too slow. Word classes come
from the fine-grained tags, because the coarse tags are wrong too often.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from engine.schema import Chunk, Complexity, Parse
from specialists.english import spaced
from specialists.spacy_parse.columns import Bools, Columns, Ints, verbs_tagged_as_nouns

if TYPE_CHECKING:
    from spacy.strings import StringStore
    from spacy.tokens import Doc
    from spacy.vocab import Vocab

TAG_SETS = {
    "noun": ("NN", "NNS"),
    "proper": ("NNP", "NNPS"),
    "plural": ("NNS", "NNPS"),
    "singular": ("NN", "NNP"),
    "of_plural": ("CC", "CD", ","),
    "quality": ("JJ", "JJR", "JJS", "AFX", "CD"),
    "verb": ("VB", "VBD", "VBG", "VBN", "VBP", "VBZ"),
    "participle": ("VBG", "VBN"),
    "determiner": ("DT", "PDT", "WDT"),
    "pronoun": ("PRP", "PRP$", "WP", "WP$", "EX"),
}
DEPENDENCY_SETS = {
    "auxiliary": ("aux", "auxpass"),
    "determiner": ("det", "predet"),
    "attribute": ("amod", "acl"),
    # A noun with one of these dependencies, or a conjunct of such a noun, heads a noun chunk.
    "chunk": ("ROOT", "nsubj", "nsubjpass", "dobj", "pobj", "pcomp", "attr", "oprd", "dative", "appos"),
    "conjunct": ("conj",),
}
WORD_SETS = {
    "article": ("a", "an", "the"),  # always count as determiners, even in "a few"
    "singular_article": ("a", "an"),
    "of_plural": spaced("few dozen hundred thousand million couple pair great many lot series set number group"),
    # Verb forms that are hardly ever plural nouns. They separate "a remote spans" (verb) from "a black sheep" (noun).
    "verb_form": spaced(
        "spans fills sits lies stands covers occupies hangs leans skates glides skis plays rides smiles stares watches "
        "walks runs flies jumps waits kneels drives holds wears eats sleeps shows"
    ),
    "indefinite": tuple(some + one for some in ("some", "any", "every", "no") for one in ("thing", "body", "one")),
    "be": (
        *("be", "am", "is", "are", "was", "were", "been", "being"),
        *(mark + rest for mark in "'\u2019" for rest in ("s", "re", "m")),
    ),
}


class Lookup:
    """Finds which of several named sets contain each string key of a column. One search covers all sets."""

    def __init__(self, strings: StringStore, sets: Mapping[str, Iterable[str]]) -> None:
        self.bit = {name: 1 << n for n, name in enumerate(sets)}
        bits: dict[int, int] = {0: 0}
        for name, members in sets.items():
            for member in members:
                key = strings.add(member)
                bits[key] = bits.get(key, 0) | self.bit[name]
        self.keys = np.array(sorted(bits), dtype=np.uint64)
        self.bits = np.array([bits[key] for key in sorted(bits)], dtype=np.int64)

    def __call__(self, column: npt.NDArray[np.uint64]) -> Ints:
        at = np.searchsorted(self.keys, column, side="right") - 1
        return np.where(self.keys[at] == column, self.bits[at], 0)

    def has(self, found: Ints, name: str) -> Bools:
        member: Bools = (found & self.bit[name]) != 0
        return member


@dataclass(frozen=True, slots=True)
class _Classes:
    """For each token of a batch, whether it belongs to each class of words. `edges`: the leftmost word in its
    subtree.
    """

    noun: Bools
    pronoun: Bools
    determiner: Bools
    quality: Bools
    participle: Bools
    action: Bools
    proper: Bools
    plural: Bools
    chunk_head: Bools
    conjunct: Bools
    edges: Ints


class Rules:
    """The rules, prepared for one vocabulary."""

    def __init__(self, vocab: Vocab, *, pronouns: bool = False, punct_edges: bool = True) -> None:
        self.strings = vocab.strings
        self.pronouns = pronouns
        self.punct_edges = punct_edges
        self.tags = Lookup(vocab.strings, TAG_SETS)
        self.dependencies = Lookup(vocab.strings, DEPENDENCY_SETS)
        self.words = Lookup(vocab.strings, WORD_SETS)

    def read(self, docs: Sequence[Doc], texts: Sequence[str]) -> list[Parse]:
        """One Parse for each Doc. `texts`: the original texts, from which the texts of chunks are cut."""
        filled = [n for n, doc in enumerate(docs) if len(doc)]
        if not filled:
            return [empty_parse() for _ in docs]
        read = self._read([texts[n] for n in filled], Columns([docs[n] for n in filled]))
        return [next(read) if len(doc) else empty_parse() for doc in docs]

    def _read(self, texts: list[str], t: Columns) -> Iterator[Parse]:
        found = self._classes(t)
        nominal = found.noun | found.pronoun
        objects = nominal if self.pronouns else found.noun
        written = [self.strings[key] for key in t.orth.tolist()]
        lower = [form.lower() for form in written]
        degree = t.degrees(punct_edges=self.punct_edges)
        return map(
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

    def _classes(self, t: Columns) -> _Classes:
        tag, dependency, word = self.tags(t.tag), self.dependencies(t.dep), self.words(t.lower)
        indefinite, proper = self.words.has(word, "indefinite"), self.tags.has(tag, "proper")
        noun = (self.tags.has(tag, "noun") & ~indefinite) | proper
        determiner_tag = self.tags.has(tag, "determiner")
        determiner = determiner_tag & (
            self.dependencies.has(dependency, "determiner") | self.words.has(word, "article")
        )
        pronoun = self.tags.has(tag, "pronoun") | (determiner_tag & ~determiner) | (indefinite & ~proper)
        participle = self.tags.has(tag, "participle") & self.dependencies.has(dependency, "attribute")
        auxiliary = self.dependencies.has(dependency, "auxiliary") | self.words.has(word, "be")
        classes = _Classes(
            noun,
            pronoun,
            determiner,
            self.tags.has(tag, "quality"),
            participle,
            self.tags.has(tag, "verb") & ~auxiliary,
            proper,
            self.tags.has(tag, "plural"),
            self.dependencies.has(dependency, "chunk"),
            self.dependencies.has(dependency, "conjunct"),
            t.left_edges(),
        )
        self._correct_verbs(t, classes, tag, word)
        return classes

    def _correct_verbs(self, t: Columns, classes: _Classes, tag: Ints, word: Ints) -> None:
        """Corrects verbs that were tagged as plural nouns. The word before such a verb becomes the noun."""
        verbs = verbs_tagged_as_nouns(
            t,
            classes.edges,
            classes.plural,
            self.tags.has(tag, "singular"),
            self.words.has(word, "singular_article"),
            self.tags.has(tag, "of_plural") | self.words.has(word, "of_plural"),
            self.words.has(word, "verb_form"),
        )
        subjects = verbs - 1
        classes.noun[verbs], classes.action[verbs] = False, True
        classes.noun[subjects], classes.quality[subjects] = True, False
        classes.edges[subjects] = classes.edges[verbs]
        classes.chunk_head[subjects] = True


def chunks(texts: list[str], t: Columns, lower: list[str], classes: _Classes) -> list[list[Chunk]]:
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
    return Parse(0, 0, 0, [], [], [], [], [], [], Complexity(), Complexity(), [])
