"""Base forms of verbs and nouns: "riding" is "ride", "men" is "man". They come from the tables of spaCy's lemmatizer.

spaCy's own lemmatizer needs coarse tags, takes 1 ms for a new word, because it searches a list of 50,000, and gives
"rid" for "riding". So its tables are read here, and only for words of relations.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from specialists.english import PAIRS

if TYPE_CHECKING:
    from spacy.language import Language

MAX_REMEMBERED = 100_000  # words
KINDS = ("verb", "noun")
DOUBLES = re.compile(r"(.*[^aeiou])?[aeiou][^aeiouwxy]")  # verbs such as "hop", which double their last letter


class Lemmas:
    """The tables of each kind of word. Without tables, a word is its own lemma.

    rules: endings and what replaces them. exceptions: irregular words. index: all lemmas.
    """

    def __init__(
        self,
        rules: Mapping[str, Sequence[Sequence[str]]] | None = None,
        exceptions: Mapping[str, Mapping[str, Sequence[str]]] | None = None,
        index: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        self.rules, self.exceptions = rules or {}, exceptions or {}
        self.index = {kind: frozenset((index or {}).get(kind, ())) for kind in KINDS}
        self._known: dict[tuple[str, str], str] = {}

    def __call__(self, word: str, kind: str) -> str:
        """The lemma of an inflected word in lower case. `kind`: one of KINDS."""
        if (found := self._known.get((word, kind))) is None:
            if len(self._known) >= MAX_REMEMBERED:
                self._known.clear()
            found = self._known[word, kind] = self._lemma(word, kind)
        return found

    def _lemma(self, word: str, kind: str) -> str:
        if not word.isalpha() or (kind == "noun" and word in PAIRS):
            return word
        if irregular := self.exceptions.get(kind, {}).get(word):
            return irregular[0]
        forms = [word.removesuffix(old) + new for old, new in self.rules.get(kind, ()) if word.endswith(old)]
        known = [form for form in forms if form in self.index[kind]]
        if kind == "verb" and known:
            return _likelier(word, min(known, key=len), known)
        return [word, *forms[:1], *known][-1]


def lemmas(nlp: Language) -> Lemmas:
    """The lemmas of a loaded pipeline. Only rule lemmatizers have tables."""
    lemmatizer: Any = dict(nlp.components).get("lemmatizer")
    if getattr(lemmatizer, "mode", "") != "rule":
        return Lemmas()
    return Lemmas(*(lemmatizer.lookups.get_table(f"lemma_{name}", {}) for name in ("rules", "exc", "index")))


def _likelier(word: str, short: str, known: Sequence[str]) -> str:
    """The short form, or the one with an "e": "riding" is "ride", not "rid", but "singing" is "sing", not "singe"."""
    doubled = word.startswith(short + short[-1])  # "hopping" is of "hop", "hoping" of "hope"
    with_e = short.endswith("th") or DOUBLES.fullmatch(short) is not None
    return short + "e" if short + "e" in known and with_e and not doubled else short
