"""One image's kept record as what can be asked of it: objects, printed words, texts, phrases, names.

It takes what is passed: regions that were dropped or merged are not among them, and a phrase's references to them
are passed over.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from engine.errors import EngineError
from model.pairs.parsing import Box
from model.pairs.polygons import outline


class ViewedRegion(NamedTuple):
    """A region. A crowd (people's label for many at once) is not to be found as one, but may be what a phrase says."""

    id: str
    label: str
    box: Box
    quad: tuple[float, ...]  # its own, or the corners of its box
    rle: str
    crowd: bool
    outside: bool


class SourceText(NamedTuple):
    """A text and the annotation it is from."""

    id: str
    text: str


@dataclass(slots=True)
class Mention:
    """A phrase of a text, and the regions it names; phrases of several producers on the same words are one."""

    phrase: str
    at: int
    ids: list[str] = field(default_factory=list)
    things: dict[str, ViewedRegion] = field(default_factory=dict)


class Expression(NamedTuple):
    """Words that name regions of the image: a label names all that have it, a phrase what it is grounded in.

    Ambiguous are words that name other regions in another place; they have none here.
    """

    words: str
    things: Sequence[ViewedRegion]
    ids: tuple[str, ...]  # of phrases
    is_label: bool
    ambiguous: bool = False


class RecordView:
    """`record`: a row of RECORD's columns; those that lack are empty. Width and height are the upright image's."""

    def __init__(self, record: Mapping[str, Any], *, width: int, height: int, max_points: int = 50) -> None:
        self.width, self.height, self._max_points = width, height, max_points
        things = [(region["kind"], _thing(region, width, height)) for region in record.get("regions", ())]
        self.objects = [thing for kind, thing in things if kind == "object"]
        self.printed = [thing for kind, thing in things if kind == "text"]
        self.texts: Sequence[Mapping[str, Any]] = record.get("texts", ())
        self._region_texts: Sequence[Mapping[str, Any]] = record.get("region_texts", ())
        self._by_granularity: dict[str, dict[str, list[SourceText]]] = {}
        self._phrases: Sequence[Mapping[str, Any]] = record.get("phrases", ())
        self._by_id = {thing.id: thing for _, thing in things}
        self._outlines: dict[str, list[list[float]]] = {}
        self._mentions: dict[str, list[Mention]] | None = None

    def region_texts(self, granularity: str) -> dict[str, list[SourceText]]:
        """Texts of each region, best first: human ones, then by score."""
        if granularity not in self._by_granularity:
            self._by_granularity[granularity] = _best_first(self._region_texts, granularity)
        return self._by_granularity[granularity]

    def outline(self, thing: ViewedRegion) -> list[list[float]]:
        """Its mask as polygons; none without a mask, or with one that is not of this image."""
        if not thing.rle:
            return []
        if thing.id not in self._outlines:
            try:
                size = {"width": self.width, "height": self.height, "max_points": self._max_points}
                self._outlines[thing.id] = outline(thing.rle, **size)
            except EngineError:
                self._outlines[thing.id] = []
        return self._outlines[thing.id]

    def mentions(self, text_id: str) -> list[Mention]:
        """The grounded phrases of a text, in its order."""
        if self._mentions is None:
            texts = {text["id"]: text["text"] for text in self.texts}
            spans: dict[tuple[str, int, int], Mention] = {}
            for phrase in self._phrases:
                self._mention(spans, phrase, texts.get(phrase["text_id"], ""))
            self._mentions = {}
            for (text, _, _), mention in sorted(spans.items(), key=lambda item: item[0]):
                self._mentions.setdefault(text, []).append(mention)
        return self._mentions.get(text_id, [])

    def _mention(self, spans: dict[tuple[str, int, int], Mention], phrase: Mapping[str, Any], text: str) -> None:
        things = {name: self._by_id[name] for name in phrase["region_ids"] if name in self._by_id}
        if not things:
            return
        start, end = phrase["char_start"], phrase["char_end"]
        mention = spans.setdefault((phrase["text_id"], start, end), Mention(text[start:end], start))
        mention.ids.append(phrase["id"])
        mention.things |= things

    def names(self) -> list[Expression]:
        """Labels, then phrases that are no label."""
        labels: dict[str, list[ViewedRegion]] = {}
        for thing in self.objects:
            if thing.label and not thing.crowd and not thing.outside:
                labels.setdefault(thing.label, []).append(thing)
        phrases: dict[str, list[Mention]] = {}
        for text in self.texts:
            for mention in self.mentions(text["id"]):
                phrases.setdefault(mention.phrase, []).append(mention)
        names = [Expression(label, things, (), is_label=True) for label, things in labels.items()]
        return names + [name for words, own in phrases.items() for name in _named(words, own, labels.get(words))]


def _named(words: str, mentions: Sequence[Mention], labelled: Sequence[ViewedRegion] | None) -> Iterator[Expression]:
    meant = {frozenset(mention.things) for mention in mentions}
    if labelled is not None:
        meant.add(frozenset(thing.id for thing in labelled))
    if len(meant) > 1:
        yield Expression(words, (), (), is_label=False, ambiguous=True)
    elif labelled is None:
        ids = tuple(name for mention in mentions for name in mention.ids)
        yield Expression(words, list(mentions[0].things.values()), ids, is_label=False)


def _thing(region: Mapping[str, Any], width: int, height: int) -> ViewedRegion:
    x1, y1, x2, y2 = box = (region["x1"], region["y1"], region["x2"], region["y2"])
    quad = tuple(region["quad"]) or (x1, y1, x2, y1, x2, y2, x1, y2)
    outside = not (x1 < width and y1 < height and x2 > 0 and y2 > 0)
    crowd = region["score_kind"] == "crowd"
    return ViewedRegion(region["id"], region["label"], box, quad, region["rle"], crowd, outside)


def _best_first(region_texts: Sequence[Mapping[str, Any]], granularity: str) -> dict[str, list[SourceText]]:
    """Texts of each region: people's, then by score."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for item in region_texts:
        if item["granularity"] == granularity:
            found.setdefault(item["region_id"], []).append(item)
    for items in found.values():
        if len(items) > 1:
            items.sort(key=lambda item: (item["score"] is not None, -(item["score"] or 0.0)))
    return {region: [SourceText(item["id"], item["text"]) for item in items] for region, items in found.items()}
