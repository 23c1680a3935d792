"""Shares of repeated n-grams and sentences, for many texts at once.

The words of all texts are one array; `text` is the row of each word's text. An n-gram never spans two texts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from engine.records.shard import Bools, Floats, Ints

NO_WORD = r"[^\p{L}\p{M}\p{N}'’]+"
OFTEN = 3  # least number of occurrences: "next to a tree next to a park" is not yet a loop
SENTENCE_END = r"[.!?]+\s+|[.!?]+$|[\r\n]+"


@dataclass(frozen=True, slots=True)
class Coded:
    """Texts as numbers: one for each word (or sentence), equal for equal words, and the row of its text."""

    codes: Ints
    text: Ints
    texts: int

    @property
    def sizes(self) -> Ints:
        return np.bincount(self.text, minlength=self.texts)


def word_codes(texts: pa.Array) -> Coded:
    """The words of the texts, without regard to case and punctuation."""
    return _coded(pc.utf8_split_whitespace(pc.replace_substring_regex(pc.utf8_lower(texts), NO_WORD, " ")))


def sentence_codes(texts: pa.Array) -> Coded:
    """The sentences of the texts, split after full stops and at line breaks. "Mr. Smith" is split too: no harm."""
    return _coded(pc.split_pattern_regex(pc.utf8_lower(pc.utf8_trim_whitespace(texts)), SENTENCE_END))


def top_ngram(words: Coded, repeated: Repeated, longer: Repeated) -> Floats:
    """For each text the largest share of its words covered by one n-gram; 0 if no n-gram occurs OFTEN.

    An occurrence counts only if it is also repeated together with the word before or after it, as in a loop (`longer`:
    the repeated n-grams with one word more): "at the top left, at the top right and at the top" is not a loop.
    """
    share = np.zeros(words.texts)
    inside = np.zeros(len(words.codes) + 1, np.bool_)
    inside[longer.place] = inside[longer.place + 1] = True
    counted = inside[repeated.place]
    place, gram = repeated.place[counted], repeated.gram[counted]
    if len(place):
        begins = np.flatnonzero(np.append(True, np.diff(gram) > 0))
        covered = np.add.reduceat(_covered(place, gram, repeated.n), begins)
        often = np.diff(np.append(begins, len(place))) >= OFTEN
        np.maximum.at(share, words.text[place[begins[often]]], covered[often])
    return share / np.maximum(words.sizes, 1)


def duplicate_ngrams(words: Coded, repeated: Repeated) -> Floats:
    """For each text the share of its words in n-grams that occurred earlier in it."""
    again = np.sort(repeated.place[1:][repeated.gram[1:] == repeated.gram[:-1]])
    covered = _covered(again, words.text[again], repeated.n)
    return np.bincount(words.text[again], covered, minlength=words.texts) / np.maximum(words.sizes, 1)


def duplicate_sentences(sentences: Coded) -> Floats:
    """For each text the share of its sentences that occurred earlier in it."""
    key = sentences.text * (int(sentences.codes.max(initial=0)) + 1) + sentences.codes
    _, first = np.unique(key, return_index=True)
    distinct = np.bincount(sentences.text[first], minlength=sentences.texts)
    return (sentences.sizes - distinct) / np.maximum(sentences.sizes, 1)


@dataclass(frozen=True, slots=True)
class Repeated:
    """Start positions (`place`) of the n-grams that occur at least twice in their text, with a number for each n-gram
    (`gram`). Ordered by `gram`, then position.
    """

    n: int
    place: Ints
    gram: Ints


def repeated_ngrams(words: Coded, longest: int) -> dict[int, Repeated]:
    """{n: repeated n-grams} up to the longest. Fast: a repeated n-gram starts with a repeated (n-1)-gram."""
    place, gram = _twice(np.arange(len(words.codes)), words.text, words.codes)
    found = {1: Repeated(1, place, gram)}
    for n in range(2, longest + 1):
        inside = place + n - 1 < len(words.codes)
        inside[inside] = words.text[place[inside] + n - 1] == words.text[place[inside]]
        place, gram = place[inside], gram[inside]
        place, gram = _twice(place, gram, words.codes[place + n - 1])
        found[n] = Repeated(n, place, gram)
    return found


def _coded(lists: pa.ListArray) -> Coded:
    """Number the words. Empty strings, which splitting leaves at the ends, are left out."""
    flat = lists.flatten()
    text = np.repeat(np.arange(len(lists)), pc.list_value_length(lists).to_numpy())
    there = pc.binary_length(flat).to_numpy() > 0
    if not there.all():
        flat, text = flat.filter(pa.array(there)), text[there]
    return Coded(flat.dictionary_encode().indices.to_numpy().astype(np.int64), text, len(lists))


def _twice(place: Ints, first: Ints, second: Ints) -> tuple[Ints, Ints]:
    """Positions whose pair (first, second) occurs more than once, and the number of their pair.

    Sorted by pair, then by position.
    """
    key = first * (int(second.max(initial=0)) + 1) + second
    order = np.argsort(key, kind="stable")
    key = key[order]
    new = np.append(True, key[1:] != key[:-1]) if len(key) else np.zeros(0, np.bool_)
    alone: Bools = new & np.append(new[1:], True) if len(key) else new
    return place[order][~alone], (np.cumsum(new) - 1)[~alone]


def _covered(place: Ints, group: Ints, n: int) -> Floats:
    """How many words each n-gram covers that the next one of its group does not. `place` ascends in each group."""
    covered = np.full(len(place), float(n))
    near = group[1:] == group[:-1]
    covered[:-1][near] = np.minimum(np.diff(place)[near], n)
    return covered
