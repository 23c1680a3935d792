"""Drops phrases that name no visible object: pronouns, quantifiers, "the image", and abstract nouns.

The default words are the published part of FLD-5B's blacklist and the abstract nouns that Kosmos-2 gives as examples.
FLD-5B compared exactly, so it dropped "it" but kept "It". Here case and spacing make no difference.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from engine.records.columns import Phrases
from engine.records.shard import Numbers
from filters.verdict import Verdict

_WORDS = """
it, I, me, mine, you, your, yours, he, him, his, she, her, hers, they, them, their, theirs, one, oneself, we, us,
our, ours, its, myself, yourself, himself, herself, itself, ourselves, yourselves, themselves, this, that, these,
those, who, whom, whose, which, what, all, another, any, anybody, anyone, anything, each, everybody, everyone,
everything, few, many, nobody, none, several, some, somebody, someone, something, each other, one another, the
image, image, images, the, a, an, a group, other objects, lots, a set, time, love, freedom
"""
_DETERMINERS = "a, an, the, this, that, these, those, some, any, each, every, its, his, her, their, my, your, our, no"

WORDS = tuple(word.strip() for word in _WORDS.split(","))
DETERMINERS = frozenset(_DETERMINERS.split(", "))


def phrase_blacklist(phrases: Phrases, *, words: Sequence[str] = WORDS, extra: Sequence[str] = ()) -> Verdict:
    """Drop phrases that equal an entry of `words` or `extra`. Before the comparison one leading determiner is removed
    from phrases and entries; the phrase itself does not change.

    For example, the entry "a group" drops "the group" and "Group", but keeps "a group of people". `words` replaces the
    default list, and `extra` adds to it.
    """
    banned = {form for word in (*words, *extra) for form in _forms(word)}
    codes, distinct = _coded(phrases)
    keep = np.array([banned.isdisjoint(_forms(phrase)) for phrase in distinct], np.bool_)
    return Verdict(keep[codes] if len(codes) else np.zeros(0, np.bool_), "phrase_blacklist")


def _coded(phrases: Phrases) -> tuple[Numbers, list[str]]:
    """The distinct phrases, and for each row an index into them. So a phrase that occurs often is compared only
    once.
    """
    coded = phrases.words.dictionary_encode()
    return coded.indices.to_numpy(), coded.dictionary.to_pylist()


def _forms(phrase: str) -> Iterable[str]:
    """The forms of a phrase to compare: the whole phrase, and the phrase without a leading determiner."""
    words = phrase.casefold().split()
    yield " ".join(words)
    if len(words) > 1 and words[0] in DETERMINERS:
        yield " ".join(words[1:])
