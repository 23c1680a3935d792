"""Columns: the annotations of a shard as filters see them.

A view holds some rows of one column. `image` and every reference are rows of the shard, never of the view
(`rows` says where a view's rows are), so views of different columns fit together whatever was taken from them.
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
    "Shard",
    "SurveyedImages",
    "Tags",
    "Texts",
]
__all__ += ["View"]


class View:
    """Some rows of one column. What every annotation carries, and how to narrow it down."""

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
        """Where in the shard these rows are."""
        return np.arange(len(self._fields)) if self._rows is None else self._rows

    def take(self, keep: Bools) -> Self:
        return type(self)(self.shard, self.rows[keep])

    def holds(self, rows: Ints) -> Bools:
        """Which of these rows of the shard are in this view; -1 is not."""
        inside = np.zeros(len(self._fields) + 1, np.bool_)  # the last is where -1 points
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
        """For each row what `mapping` says of its word in column `name`."""
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
        """NaN for what a human said."""
        return self.numbers("score")

    @property
    def human(self) -> Bools:
        return np.isnan(self.score)


class Images(View):
    """The images themselves: no producer, no score."""

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


class SurveyedImages(Images):
    """Images and what a survey of the whole data set found of them."""

    @property
    def same_distance(self) -> Floats:
        """Bits of difference to the image that stands for this one; NaN where it stands for itself."""
        return self.numbers("same_distance")


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
        """n x 4, float32."""
        return np.column_stack([self.x1, self.y1, self.x2, self.y2])


class Texts(View):
    column = "texts"

    @property
    def text(self) -> pa.Array:
        return self.strings("text")


class ParsedTexts(Texts):
    """Texts and what the parse says of them: NaN where `parsed` is false."""

    @property
    def parsed(self) -> Bools:
        return self._pick(self.shard.parse_rows) >= 0

    def _joined(self, whole: Numbers) -> Floats:
        rows = self._pick(self.shard.parse_rows)
        return np.append(whole.astype(np.float64), np.nan)[rows]  # -1 points at the NaN

    def _parse(self) -> Fields:
        self.shard.parse_rows  # noqa: B018  raises if there is no parse
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
        """As the paper: the largest degree of an object in each sentence, averaged, 0 if none."""
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
        """The shard's row of the region each belongs to, merges followed; -1 if there is none."""
        return self._pick(self.shard.region_text_region)


class Phrases(View):
    column = "phrases"

    @property
    def text(self) -> Ints:
        """The shard's row of the text each is part of; -1 if there is none."""
        return self._pick(self.shard.phrase_text)

    @property
    def links(self) -> tuple[Ints, Ints]:
        """(row of this view, the shard's row of a region it names), merges followed; -1 for no such region."""
        phrase, region = self.shard.phrase_of_link, self.shard.phrase_regions
        if self._rows is None:
            return phrase, region
        place = np.full(len(self._fields), -1, np.int64)
        place[self._rows] = np.arange(len(self._rows))
        here = place[phrase] >= 0
        return place[phrase[here]], region[here]

    @property
    def words(self) -> pa.Array:
        """What each phrase says: its slice of its text, '' if it has no text."""
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
        """What is no number: a language, a perceptual hash; '' for most."""
        return self.strings("code")

    @property
    def text(self) -> Ints:
        """The shard's row of the text each is about, the first of its parents; -1 if that is none."""
        parents = self.strings("parents")
        named = np.flatnonzero(pc.list_value_length(parents).to_numpy())
        rows = np.full(len(self), -1, np.int64)
        rows[named] = self.shard.find("texts", self.image[named], pc.list_element(parents.take(pa.array(named)), 0))
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
