"""Measures OCR by words. Case, accents, punctuation, and the way words are joined into lines make no difference.

`bag` compares words wherever they are in the image. `place` also requires the centre of the true box to lie in the box
of the line that was read. Illegible true words do not count as missed. A read word does not count as wrong if its
centre lies in an illegible word.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from engine.records.boxes import Box
from engine.records.labels import without_accents
from model.evaluate.detections import check_known_images
from model.evaluate.resampling import Floats, Ints, resampled_ratios

_FIGURES = ("recall", "precision", "F1")


@dataclass(frozen=True, slots=True)
class Word:
    """One true word. `box`: the bounding box of its quad."""

    text: str
    box: Box
    legible: bool = True


@dataclass(frozen=True, slots=True)
class Line:
    """One line that OCR read. It has one or more words."""

    text: str
    box: Box


@dataclass(frozen=True, slots=True)
class WordMeasure:
    """The figures "bag recall", "bag precision", "bag F1", the same three for "place", and "found".

    "found" is the share of true words whose letters occur in a line that overlaps them ("exit12" finds "exit"). `sums`:
    a row for each image, sorted by name, with the number of true words, read words, right words (bag), right words
    (place) and found words.
    """

    figures: dict[str, float]
    images: int
    words: int
    read: int
    sums: Ints

    def resampled(self, counts: Ints) -> dict[str, Floats]:
        """Each figure for each resample of images (a row of `counts`)."""
        true, read, bag, place, found = self.sums.T
        answer = {"found": resampled_ratios(found, true, counts)}
        for name, right in (("bag", bag), ("place", place)):
            shares = (resampled_ratios(right, n, counts) for n in (true, read, (true + read) / 2))
            answer |= {f"{name} {figure}": share for figure, share in zip(_FIGURES, shares, strict=True)}
        return answer


def measure_words(truth: Mapping[str, Sequence[Word]], read: Mapping[str, Sequence[Line]]) -> WordMeasure:
    check_known_images(truth, read)
    names = sorted(truth)
    sums = np.array([_image(truth[name], read.get(name, ())) for name in names], np.int64).reshape(-1, 5)
    measure = WordMeasure({}, len(names), int(sums[:, 0].sum()), int(sums[:, 1].sum()), sums)
    once = np.ones((1, len(names)), np.int64)
    measure.figures.update({name: float(values[0]) for name, values in measure.resampled(once).items()})
    return measure


def plain_word(text: str) -> str:
    """The letters and digits of a word in lower case, without accents, in any script: "CAFÉ" becomes "cafe"."""
    return "".join(c for c in without_accents(text).casefold() if c.isalnum())


def split_line(line: Line) -> list[tuple[str, Box]]:
    """The words of a line, each with its part of the line's box. The box is divided along its longer side, in
    proportion to the characters.
    """
    x1, y1, x2, y2 = line.box
    across = x2 - x1 >= y2 - y1
    answer, at, whole = [], 0, max(1, len(line.text))
    for word in line.text.split():
        start = line.text.index(word, at)
        at = start + len(word)
        low, high = start / whole, at / whole
        part = (x1 + low * (x2 - x1), y1, x1 + high * (x2 - x1), y2)
        down = (x1, y1 + low * (y2 - y1), x2, y1 + high * (y2 - y1))
        if plain := plain_word(word):
            answer.append((plain, part if across else down))
    return answer


def _image(truth: Sequence[Word], lines: Sequence[Line]) -> tuple[int, int, int, int, int]:
    """The counts of one image: (true words, read words, right in the bag, right in place, found)."""
    legible = [(plain, word.box) for word in truth if word.legible and (plain := plain_word(word.text))]
    illegible = [word.box for word in truth if not word.legible]
    read = [(word, part, line.box) for line in lines for word, part in split_line(line)]
    true_words = Counter(word for word, _ in legible)
    # A read word that equals a legible true word counts even if it lies in an illegible one.
    read = [one for one in read if one[0] in true_words or not any(_holds(box, one[1]) for box in illegible)]
    bag = (true_words & Counter(word for word, _, _ in read)).total()
    place = _in_place(legible, read)
    whole = [(plain_word(line.text), line.box) for line in lines]
    found = sum(any(word in text and _overlap(box, other) for text, other in whole) for word, box in legible)
    return len(legible), len(read), bag, place, found


def _in_place(legible: Sequence[tuple[str, Box]], read: Sequence[tuple[str, Box, Box]]) -> int:
    """The number of true words that are matched to an equal read word in place. Nearest pairs are matched first."""
    pairs = sorted(
        (_distance(box, part), i, j)
        for i, (word, box) in enumerate(legible)
        for j, (other, part, line) in enumerate(read)
        if word == other and _holds(line, box)
    )
    done_i: set[int] = set()
    done_j: set[int] = set()
    for _, i, j in pairs:
        if i not in done_i and j not in done_j:
            done_i.add(i)
            done_j.add(j)
    return len(done_i)


def _centre(box: Box) -> tuple[float, float]:
    return ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)


def _holds(outer: Box, inner: Box) -> bool:
    """Whether the centre of `inner` lies in `outer`."""
    x, y = _centre(inner)
    return outer[0] <= x <= outer[2] and outer[1] <= y <= outer[3]


def _distance(one: Box, other: Box) -> float:
    (x, y), (u, v) = _centre(one), _centre(other)
    return float(np.hypot(x - u, y - v))


def _overlap(one: Box, other: Box) -> bool:
    return one[0] < other[2] and one[2] > other[0] and one[1] < other[3] and one[3] > other[1]
