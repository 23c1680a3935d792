"""Columns: the annotations of a shard as arrays, for filters.

A view has some rows of one annotation column. `rows` has their row numbers in the shard. `image` and all references
are row numbers in the shard too, so views of different columns can be combined.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from engine.records.shard import (
    Bools,
    Fields,
    Floats,
    Ints,
    Numbers,
    Shard,
    slice_strings,
)

__all__ = [
    "VIEWS",
    "ImageScores",
    "Images",
    "ParsedTexts",
    "Phrases",
    "RegionTexts",
    "Regions",
    "SemanticImages",
    "Shard",
    "Tags",
    "Texts",
    "View",
    "WholeSetImages",
]


class View:
    """Some rows of one annotation column. This class has the fields that all annotations share."""

    column = ""

    def __init__(self, shard: Shard, rows: Ints | None = None) -> None:
        self.shard = shard
        self._rows = rows  # None: all of them
        self._made: dict[str, Any] = {}

    @property
    def _fields(self) -> Fields:
        return self.shard.column(self.column)

    def __len__(self) -> int:
        return len(self._fields) if self._rows is None else len(self._rows)

    @property
    def rows(self) -> Ints:
        """The row number in the shard of each row of this view."""
        return np.arange(len(self._fields)) if self._rows is None else self._rows

    def take(self, keep: Bools) -> Self:
        return type(self)(self.shard, self.rows[keep])

    def holds(self, rows: Ints) -> Bools:
        """Which of these row numbers of the shard are in this view. False for -1."""
        inside = np.zeros(len(self._fields) + 1, np.bool_)  # one more, for row -1
        inside[self.rows] = True
        return inside[rows]

    def _pick(self, whole: Numbers) -> Numbers:
        return whole if self._rows is None else whole[self._rows]

    def numbers(self, name: str) -> Numbers:
        if name not in self._made:
            self._made[name] = self._pick(self._fields.numbers(name))
        made: Numbers = self._made[name]
        return made

    def strings(self, name: str) -> pa.Array:
        whole = self._fields.arrow(name)
        return whole if self._rows is None else whole.take(pa.array(self._rows))

    def codes(self, name: str) -> tuple[Numbers, list[str]]:
        codes, words = self._fields.codes(name)
        return self._pick(codes), words

    def equals(self, name: str, word: str) -> Bools:
        codes, words = self.codes(name)
        return codes == words.index(word) if word in words else np.zeros(len(self), np.bool_)

    def lookup(self, name: str, mapping: Mapping[str, float], default: float) -> Floats:
        """For each row, the number that `mapping` has for its value in the column `name`; `default` if it has none."""
        if not mapping:
            return np.full(len(self), default, np.float64)
        codes, words = self.codes(name)
        return np.array([*(mapping.get(word, default) for word in words), default], np.float64)[codes]

    @property
    def ids(self) -> pa.Array:
        return self.strings("id")

    @property
    def image(self) -> Ints:
        return self._pick(self.shard.column(self.column).image)

    @property
    def width(self) -> Numbers:
        return self.shard.image.numbers("width")[self.image]

    @property
    def height(self) -> Numbers:
        return self.shard.image.numbers("height")[self.image]

    @property
    def producer(self) -> pa.Array:
        return self.strings("producer")

    @property
    def score(self) -> Floats:
        """The score of each annotation, from 0 to 1. NaN for human annotations."""
        return self.numbers("score")

    @property
    def human(self) -> Bools:
        return np.isnan(self.score)


class Images(View):
    """Images as a view. They have no producer and no score."""

    @property
    def _fields(self) -> Fields:
        return self.shard.image

    @property
    def ids(self) -> pa.Array:
        return self.strings("image_id")

    @property
    def image(self) -> Ints:
        return self.rows

    @property
    def human(self) -> Bools:
        return np.zeros(len(self), np.bool_)


class WholeSetImages(Images):
    """Images, with values that were found by comparing the whole data set."""

    @property
    def same_distance(self) -> Floats:
        """In how many bits the perceptual hash differs from that of the near-duplicate that is kept.

        NaN for a kept image.
        """
        return self.numbers("same_distance")


class SemanticImages(WholeSetImages):
    """Images, with values found by comparing the whole data set, embeddings included.

    Distances are 1 - cosine, from 0 to 2.
    """

    @property
    def semantic_distance(self) -> Floats:
        """The distance to the nearest better image of the same kind (audit or training). NaN if there is none."""
        return self.numbers("semantic_distance")

    @property
    def audit_distance(self) -> Floats:
        """The distance from a training image to the nearest audit image. NaN if there is none, and for audit images."""
        return self.numbers("audit_distance")


class Regions(View):
    column = "regions"

    @property
    def label(self) -> pa.Array:
        return self.strings("label")

    @property
    def x1(self) -> Numbers:
        return self.numbers("x1")

    @property
    def y1(self) -> Numbers:
        return self.numbers("y1")

    @property
    def x2(self) -> Numbers:
        return self.numbers("x2")

    @property
    def y2(self) -> Numbers:
        return self.numbers("y2")

    @property
    def boxes(self) -> Numbers:
        """The boxes as an array, n x 4, float32: x1, y1, x2, y2."""
        return np.column_stack([self.x1, self.y1, self.x2, self.y2])


class Texts(View):
    column = "texts"

    @property
    def text(self) -> pa.Array:
        return self.strings("text")


class ParsedTexts(Texts):
    """Texts with numbers from their parses. The numbers are NaN where `parsed` is false."""

    @property
    def parsed(self) -> Bools:
        return self._pick(self.shard.parse_rows) >= 0

    def _joined(self, whole: Numbers) -> Floats:
        rows = self._pick(self.shard.parse_rows)
        return np.append(whole.astype(np.float64), np.nan)[rows]  # -1 points at the NaN

    def _parse(self) -> Fields:
        self.shard.parse_rows  # noqa: B018  EngineError if there is no parse
        assert self.shard.parse is not None
        return self.shard.parse

    @property
    def tokens(self) -> Floats:
        return self._joined(self._parse().numbers("tokens"))

    @property
    def sentences(self) -> Floats:
        return self._joined(self._parse().numbers("sentences"))

    @property
    def n_objects(self) -> Floats:
        return self._joined(self._parse().lengths("objects"))

    @property
    def object_complexity(self) -> Floats:
        """As in the paper: the highest degree of an object in each sentence, averaged over sentences; 0 if none."""
        return self._joined(self._parse().arrow("object_complexity").field("paper").to_numpy())

    @property
    def action_complexity(self) -> Floats:
        return self._joined(self._parse().arrow("action_complexity").field("paper").to_numpy())


class RegionTexts(View):
    column = "region_texts"

    @property
    def text(self) -> pa.Array:
        return self.strings("text")

    @property
    def region(self) -> Ints:
        """For each text the row of its region, or of the region that it was merged into. -1 if there is none."""
        return self._pick(self.shard.region_text_region)


class Phrases(View):
    column = "phrases"

    @property
    def text(self) -> Ints:
        """For each phrase the row of the text that it is part of. -1 if the text is missing."""
        return self._pick(self.shard.phrase_text)

    @property
    def links(self) -> tuple[Ints, Ints]:
        """(phrases, regions): row numbers of each phrase and of each region that it names.

        Phrases are rows of this view, regions are rows of the shard. A merged region is replaced by the final region. A
        missing region is -1.
        """
        phrase, region = self.shard.phrase_of_link, self.shard.phrase_regions
        if self._rows is None:
            return phrase, region
        row_here = np.full(len(self._fields), -1, np.int64)
        row_here[self._rows] = np.arange(len(self._rows))
        here = row_here[phrase] >= 0
        return row_here[phrase[here]], region[here]

    @property
    def words(self) -> pa.Array:
        """The words of each phrase. '' if its text is missing."""
        start, end = self.numbers("char_start"), self.numbers("char_end")
        return slice_strings(self.shard.column("texts").arrow("text"), self.text, start, end)


class Tags(View):
    column = "tags"

    @property
    def label(self) -> pa.Array:
        return self.strings("label")


class ImageScores(View):
    column = "image_scores"

    @property
    def value(self) -> Floats:
        return self.numbers("value")

    @property
    def code(self) -> pa.Array:
        """The value of a score that is not a number, such as a language. '' for scores that are numbers."""
        return self.strings("code")

    @property
    def text(self) -> Ints:
        """The row of the text that the score is about. -1 if the score is not about a text."""
        return self.about("texts")

    def about(self, column: str) -> Ints:
        """The row in `column` of the annotation that the score is about (its first parent). -1 if it is not there."""
        parents = self.strings("parents")
        named = np.flatnonzero(pc.list_value_length(parents).to_numpy())
        rows = np.full(len(self), -1, np.int64)
        rows[named] = self.shard.find(column, self.image[named], pc.list_element(parents.take(pa.array(named)), 0))
        return rows


VIEWS: dict[str, type[View]] = {
    "images": Images,
    "texts": Texts,
    "regions": Regions,
    "region_texts": RegionTexts,
    "phrases": Phrases,
    "tags": Tags,
    "image_scores": ImageScores,
}
