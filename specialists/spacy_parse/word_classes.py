"""The class of each token: noun, pronoun, determiner, attribute, action, and so on. They need no model.

Word classes come from the fine-grained tags, because the coarse tags are wrong too often.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from specialists.english import spaced
from specialists.spacy_parse.columns import Bools, Columns, Ints, verbs_tagged_as_nouns

if TYPE_CHECKING:
    from spacy.strings import StringStore
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
    "relative": ("WP", "WDT"),
    "gerund": ("VBG",),
    "past_participle": ("VBN",),
    "inflected": ("NNS", "NNPS", "VBD", "VBG", "VBN", "VBZ"),  # their lemma may be another form
}
DEPENDENCY_SETS = {
    "auxiliary": ("aux", "auxpass"),
    "determiner": ("det", "predet"),
    "attribute": ("amod", "acl"),
    # A noun with one of these dependencies, or a conjunct of such a noun, heads a noun chunk.
    "chunk": ("ROOT", "nsubj", "nsubjpass", "dobj", "pobj", "pcomp", "attr", "oprd", "dative", "appos"),
    "conjunct": ("conj",),
    "subject": ("nsubj",),
    "passive_subject": ("nsubjpass",),
    "object": ("dobj",),
    "agent": ("agent",),  # "by" in "ridden by a man"
    "of_preposition": ("pobj",),
    "clause_of_noun": ("acl",),
    "relative_clause": ("relcl",),
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
class WordClasses:
    """For each token of a batch, whether it belongs to each class of words.

    tag, dependency: the bits of TAG_SETS and DEPENDENCY_SETS. edges: the leftmost word in its subtree. corrected:
    positions of verbs that were tagged as plural nouns; the word before each of them is its subject.
    """

    tag: Ints
    dependency: Ints
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
    corrected: Ints


class Classifier:
    """Finds the classes of tokens, prepared for one vocabulary."""

    def __init__(self, vocab: Vocab) -> None:
        self.tags = Lookup(vocab.strings, TAG_SETS)
        self.dependencies = Lookup(vocab.strings, DEPENDENCY_SETS)
        self.words = Lookup(vocab.strings, WORD_SETS)

    def __call__(self, t: Columns) -> WordClasses:
        tag, dependency, word = self.tags(t.tag), self.dependencies(t.dep), self.words(t.lower)
        indefinite, proper = self.words.has(word, "indefinite"), self.tags.has(tag, "proper")
        determiner_tag = self.tags.has(tag, "determiner")
        determiner = determiner_tag & (
            self.dependencies.has(dependency, "determiner") | self.words.has(word, "article")
        )
        auxiliary = self.dependencies.has(dependency, "auxiliary") | self.words.has(word, "be")
        edges, plural = t.left_edges(), self.tags.has(tag, "plural")
        classes = WordClasses(
            tag=tag,
            dependency=dependency,
            noun=(self.tags.has(tag, "noun") & ~indefinite) | proper,
            pronoun=self.tags.has(tag, "pronoun") | (determiner_tag & ~determiner) | (indefinite & ~proper),
            determiner=determiner,
            quality=self.tags.has(tag, "quality"),
            participle=self.tags.has(tag, "participle") & self.dependencies.has(dependency, "attribute"),
            action=self.tags.has(tag, "verb") & ~auxiliary,
            proper=proper,
            plural=plural,
            chunk_head=self.dependencies.has(dependency, "chunk"),
            conjunct=self.dependencies.has(dependency, "conjunct"),
            edges=edges,
            corrected=self._verbs_tagged_as_nouns(t, tag, word, edges, plural),
        )
        _correct(classes)
        return classes

    def _verbs_tagged_as_nouns(self, t: Columns, tag: Ints, word: Ints, edges: Ints, plural: Bools) -> Ints:
        return verbs_tagged_as_nouns(
            t,
            edges,
            plural,
            self.tags.has(tag, "singular"),
            self.words.has(word, "singular_article"),
            self.tags.has(tag, "of_plural") | self.words.has(word, "of_plural"),
            self.words.has(word, "verb_form"),
        )


def _correct(classes: WordClasses) -> None:
    """Corrects verbs that were tagged as plural nouns. The word before such a verb becomes the noun."""
    verbs, subjects = classes.corrected, classes.corrected - 1
    classes.noun[verbs], classes.action[verbs] = False, True
    classes.noun[subjects], classes.quality[subjects] = True, False
    classes.edges[subjects] = classes.edges[verbs]
    classes.chunk_head[subjects] = True
