"""How much of a text was said before: shares of repeated n-grams and sentences, for many texts at once.

Words lie one after another; `text` is the row of each. An n-gram never reaches over the end of its text.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from engine.records.shard import Bools, Floats, Ints

NO_WORD = r"[^\p{L}\p{M}\p{N}'’]+"
OFTEN = 3  # times: "next to a tree next to a park" is no loop yet
SENTENCE_END = r"[.!?]+\s+|[.!?]+$|[\r\n]+"


@dataclass(frozen=True, slots=True)
class Coded:
    """What the texts are made of: a number for each word (or sentence), equal for equal ones, and its text's row."""

    codes: Ints
    text: Ints
    texts: int

    @property
    def sizes(self) -> Ints:
        return np.bincount(self.text, minlength=self.texts)


def word_codes(texts: pa.Array) -> Coded:
    """Case and punctuation make no difference."""
    return _coded(pc.utf8_split_whitespace(pc.replace_substring_regex(pc.utf8_lower(texts), NO_WORD, " ")))


def sentence_codes(texts: pa.Array) -> Coded:
    """Split behind full stops and at line breaks: "Mr. Smith" is cut too, which does not repeat him."""
    return _coded(pc.split_pattern_regex(pc.utf8_lower(pc.utf8_trim_whitespace(texts)), SENTENCE_END))


def top_ngram(words: Coded, repeated: Repeated, longer: Repeated) -> Floats:
    """For each text the largest share of its words that lies in occurrences of one n-gram; 0 if none comes often.

    An occurrence counts if it repeats with the word before or behind it too, as all do in a loop (`longer`: the
    repeated n-grams of one word more): "at the top left, at the top right and at the top" is no loop.
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
    """For each text the share of its words that lies in n-grams that came before."""
    again = np.sort(repeated.place[1:][repeated.gram[1:] == repeated.gram[:-1]])
    covered = _covered(again, words.text[again], repeated.n)
    return np.bincount(words.text[again], covered, minlength=words.texts) / np.maximum(words.sizes, 1)


def duplicate_sentences(sentences: Coded) -> Floats:
    """For each text the share of its sentences that came before."""
    key = sentences.text * (int(sentences.codes.max(initial=0)) + 1) + sentences.codes
    _, first = np.unique(key, return_index=True)
    distinct = np.bincount(sentences.text[first], minlength=sentences.texts)
    return (sentences.sizes - distinct) / np.maximum(sentences.sizes, 1)


@dataclass(frozen=True, slots=True)
class Repeated:
    """Where the n-grams begin that come at least twice in their text, ordered by `gram` (a number for each), and
    each n-gram's places ascending."""

    n: int
    place: Ints
    gram: Ints


def repeated_ngrams(words: Coded, longest: int) -> dict[int, Repeated]:
    """For each n up to the longest. A repeated n-gram begins with a repeated (n-1)-gram: few places are left soon."""
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
    """Empty strings, which a split leaves at the ends, are left out."""
    flat = lists.flatten()
    text = np.repeat(np.arange(len(lists)), pc.list_value_length(lists).to_numpy())
    there = pc.binary_length(flat).to_numpy() > 0
    if not there.all():
        flat, text = flat.filter(pa.array(there)), text[there]
    return Coded(flat.dictionary_encode().indices.to_numpy().astype(np.int64), text, len(lists))


def _twice(place: Ints, first: Ints, second: Ints) -> tuple[Ints, Ints]:
    """The places whose pair (first, second) is not alone, ordered by pair and then place, with a number a pair."""
    key = first * (int(second.max(initial=0)) + 1) + second
    order = np.argsort(key, kind="stable")
    key = key[order]
    new = np.append(True, key[1:] != key[:-1]) if len(key) else np.zeros(0, np.bool_)
    alone: Bools = new & np.append(new[1:], True) if len(key) else new
    return place[order][~alone], (np.cumsum(new) - 1)[~alone]


def _covered(place: Ints, group: Ints, n: int) -> Floats:
    """How many words each n-gram covers that the next of its group does not: `place` ascends in each group."""
    covered = np.full(len(place), float(n))
    near = group[1:] == group[:-1]
    covered[:-1][near] = np.minimum(np.diff(place)[near], n)
    return covered
