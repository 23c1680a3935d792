"""Shares of repeated n-grams and sentences, for many texts at once.

The words of all texts form one array. The array `text` holds, for each word, the row of the text it belongs to. An
n-gram never spans two texts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from engine.records.shard import Bools, Floats, Ints

NO_WORD = r"[^\p{L}\p{M}\p{N}'’]+"
OFTEN = 3  # fewest occurrences that make a loop; "next to a tree next to a park" is not one
SENTENCE_END = r"[.!?]+\s+|[.!?]+$|[\r\n]+"


@dataclass(frozen=True, slots=True)
class Coded:
    """The words (or sentences) of many texts as numbers. `codes`: one number for each word; equal words have equal
    numbers. `text`: for each word, the row of its text. `texts`: how many texts there are.
    """

    codes: Ints
    text: Ints
    texts: int

    @property
    def sizes(self) -> Ints:
        return np.bincount(self.text, minlength=self.texts)


def word_codes(texts: pa.Array) -> Coded:
    """The words of the texts as codes, ignoring case and punctuation."""
    return _coded(pc.utf8_split_whitespace(pc.replace_substring_regex(pc.utf8_lower(texts), NO_WORD, " ")))


def sentence_codes(texts: pa.Array) -> Coded:
    """The sentences of the texts as codes. Texts are split after . ! ? and at line breaks. "Mr. Smith" is split too,
    which does no harm here.
    """
    return _coded(pc.split_pattern_regex(pc.utf8_lower(pc.utf8_trim_whitespace(texts)), SENTENCE_END))


def top_ngram(words: Coded, repeated: Repeated, longer: Repeated) -> Floats:
    """For each text the largest share of its words that one n-gram covers; 0 if no n-gram occurs at least OFTEN times.

    An occurrence counts only if the n-gram is repeated together with the word before or after it, as it is in a loop.
    So "at the top left, at the top right and at the top" is not a loop. `longer`: the repeated n-grams with one word
    more.
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
    """For each text the share of its words that lie in n-grams which occurred earlier in the text."""
    again = np.sort(repeated.place[1:][repeated.gram[1:] == repeated.gram[:-1]])
    covered = _covered(again, words.text[again], repeated.n)
    return np.bincount(words.text[again], covered, minlength=words.texts) / np.maximum(words.sizes, 1)


def duplicate_sentences(sentences: Coded) -> Floats:
    """For each text the share of its sentences that occurred earlier in the text."""
    key = sentences.text * (int(sentences.codes.max(initial=0)) + 1) + sentences.codes
    _, first = np.unique(key, return_index=True)
    distinct = np.bincount(sentences.text[first], minlength=sentences.texts)
    return (sentences.sizes - distinct) / np.maximum(sentences.sizes, 1)


@dataclass(frozen=True, slots=True)
class Repeated:
    """The n-grams that occur at least twice in their text. `place`: the position of the first word of each occurrence.
    `gram`: for each occurrence, the number of its n-gram. Ordered by `gram`, then by position.
    """

    n: int
    place: Ints
    gram: Ints


def repeated_ngrams(words: Coded, longest: int) -> dict[int, Repeated]:
    """{n: the repeated n-grams}, for n from 1 to `longest`. Each length searches only where the length before found a
    repetition, because a repeated n-gram starts with a repeated (n-1)-gram.
    """
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
    """Numbers the words. Empty strings, which splitting leaves at the ends, are left out."""
    flat = lists.flatten()
    text = np.repeat(np.arange(len(lists)), pc.list_value_length(lists).to_numpy())
    there = pc.binary_length(flat).to_numpy() > 0
    if not there.all():
        flat, text = flat.filter(pa.array(there)), text[there]
    return Coded(flat.dictionary_encode().indices.to_numpy().astype(np.int64), text, len(lists))


def _twice(place: Ints, first: Ints, second: Ints) -> tuple[Ints, Ints]:
    """The positions whose pair (first, second) occurs more than once, and for each position the number of its pair.
    Sorted by pair, then by position.
    """
    key = first * (int(second.max(initial=0)) + 1) + second
    order = np.argsort(key, kind="stable")
    key = key[order]
    new = np.append(True, key[1:] != key[:-1]) if len(key) else np.zeros(0, np.bool_)
    alone: Bools = new & np.append(new[1:], True) if len(key) else new
    return place[order][~alone], (np.cumsum(new) - 1)[~alone]


def _covered(place: Ints, group: Ints, n: int) -> Floats:
    """For each occurrence of an n-gram, how many of its words the next occurrence in the same group does not cover.
    `group`: the n-gram or text of each occurrence. `place` ascends within each group.
    """
    covered = np.full(len(place), float(n))
    near = group[1:] == group[:-1]
    covered[:-1][near] = np.minimum(np.diff(place)[near], n)
    return covered
