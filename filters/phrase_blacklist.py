"""Phrases that name nothing one could point at: pronouns, quantifiers, "the image", abstract ideas.

The words are those FLD-5B's own blacklist is known to hold, and Kosmos-2's examples of the abstract. That one
compared letter by letter, so that "It" passed where "it" did not; here case and spacing make no difference.
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
    """Drop phrases that are one of `words` or `extra`, as a whole, with or without a leading determiner.

    "the group" and "Group" are dropped like "a group"; "a group of people" is not. One determiner is set aside
    for the comparison, of phrases and words alike; the phrase itself is not changed.
    """
    banned = {form for word in (*words, *extra) for form in _forms(word)}
    codes, said = _coded(phrases)
    keep = np.array([banned.isdisjoint(_forms(phrase)) for phrase in said], np.bool_)
    return Verdict(keep[codes] if len(codes) else np.zeros(0, np.bool_), "phrase_blacklist")


def _coded(phrases: Phrases) -> tuple[Numbers, list[str]]:
    """A shard says the same few phrases again and again: each is looked at once."""
    coded = phrases.words.dictionary_encode()
    return coded.indices.to_numpy(), coded.dictionary.to_pylist()


def _forms(phrase: str) -> Iterable[str]:
    """A phrase as it is compared: as a whole, and without its determiner."""
    words = phrase.casefold().split()
    yield " ".join(words)
    if len(words) > 1 and words[0] in DETERMINERS:
        yield " ".join(words[1:])
