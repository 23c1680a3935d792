"""One image's record, arranged for making pairs: objects, printed text, captions, phrases, and names of regions.

`record` must contain kept annotations only. Regions that were dropped or merged are not in it, and references of
phrases to them are ignored.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from engine.errors import EngineError
from engine.records.boxes import Box, corners_of, row_box
from model.pairs.polygons import outline


class ViewedRegion(NamedTuple):
    """A region. `crowd`: whether it covers many objects at once. Then it is not an object to detect, but a phrase may
    name it.
    """

    id: str
    label: str
    box: Box
    quad: tuple[float, ...]  # the region's quad, or the corners of its box if it has none
    rle: str
    crowd: bool
    outside: bool  # no part of it lies in the image


class SourceText(NamedTuple):
    """A text, with the id of its annotation."""

    id: str
    text: str


@dataclass(slots=True)
class Mention:
    """A phrase at one position of a text, and the regions that it names. If several producers give a phrase at the same
    position, their phrases are merged.
    """

    phrase: str
    start: int  # position in the text
    ids: list[str] = field(default_factory=list)
    regions: dict[str, ViewedRegion] = field(default_factory=dict)


class Expression(NamedTuple):
    """Words that name regions. A label names all regions that have it. A phrase names the regions it is grounded in.

    `ambiguous`: whether the words name different regions in different places of the record. Then `regions` is empty.
    """

    words: str
    regions: Sequence[ViewedRegion]
    phrase_ids: tuple[str, ...]
    is_label: bool
    ambiguous: bool = False


class RecordView:
    """A view of one record: a row with columns of RECORD, of which any may be missing. `width`, `height`: in pixels."""

    def __init__(self, record: Mapping[str, Any], *, width: int, height: int, max_points: int = 50) -> None:
        self.width, self.height, self._max_points = width, height, max_points
        regions = [(region["kind"], _viewed(region, width, height)) for region in record.get("regions", ())]
        self.objects = [region for kind, region in regions if kind == "object"]
        self.printed = [region for kind, region in regions if kind == "text"]
        self.texts: Sequence[Mapping[str, Any]] = record.get("texts", ())
        self._region_texts: Sequence[Mapping[str, Any]] = record.get("region_texts", ())
        self._by_granularity: dict[str, dict[str, list[SourceText]]] = {}
        self._phrases: Sequence[Mapping[str, Any]] = record.get("phrases", ())
        self._by_id = {region.id: region for _, region in regions}
        self._outlines: dict[str, list[list[float]]] = {}
        self._mentions: dict[str, list[Mention]] | None = None

    def region_texts(self, granularity: str) -> dict[str, list[SourceText]]:
        """{region id: its texts of this granularity}, best first: human texts, then by score."""
        if granularity not in self._by_granularity:
            self._by_granularity[granularity] = _best_first(self._region_texts, granularity)
        return self._by_granularity[granularity]

    def outline(self, region: ViewedRegion) -> list[list[float]]:
        """The mask of a region as polygons. Empty if the region has no mask, or if the mask was made for another image
        size.
        """
        if not region.rle:
            return []
        if region.id not in self._outlines:
            try:
                size = {"width": self.width, "height": self.height, "max_points": self._max_points}
                self._outlines[region.id] = outline(region.rle, **size)
            except EngineError:
                self._outlines[region.id] = []
        return self._outlines[region.id]

    def mentions(self, text_id: str) -> list[Mention]:
        """The grounded phrases of a text, by position."""
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
        regions = {name: self._by_id[name] for name in phrase["region_ids"] if name in self._by_id}
        if not regions:
            return
        start, end = phrase["char_start"], phrase["char_end"]
        mention = spans.setdefault((phrase["text_id"], start, end), Mention(text[start:end], start))
        mention.ids.append(phrase["id"])
        mention.regions |= regions

    def expressions(self) -> list[Expression]:
        """All labels, then all phrases that do not equal a label."""
        labels: dict[str, list[ViewedRegion]] = {}
        for region in self.objects:
            if region.label and not region.crowd and not region.outside:
                labels.setdefault(region.label, []).append(region)
        phrases: dict[str, list[Mention]] = {}
        for text in self.texts:
            for mention in self.mentions(text["id"]):
                phrases.setdefault(mention.phrase, []).append(mention)
        expressions = [Expression(label, regions, (), is_label=True) for label, regions in labels.items()]
        for words, mentions in phrases.items():
            expressions += _phrase_expressions(words, mentions, labels.get(words))
        return expressions


def _phrase_expressions(
    words: str, mentions: Sequence[Mention], labelled: Sequence[ViewedRegion] | None
) -> Iterator[Expression]:
    """One expression for a phrase. If the phrase has several meanings, the expression is `ambiguous`. There is none if
    the phrase equals a label and names the same regions. `labelled`: the regions with this label; None if there are
    none.
    """
    meanings = {frozenset(mention.regions) for mention in mentions}
    if labelled is not None:
        meanings.add(frozenset(region.id for region in labelled))
    if len(meanings) > 1:
        yield Expression(words, (), (), is_label=False, ambiguous=True)
    elif labelled is None:
        ids = tuple(name for mention in mentions for name in mention.ids)
        yield Expression(words, list(mentions[0].regions.values()), ids, is_label=False)


def _viewed(region: Mapping[str, Any], width: int, height: int) -> ViewedRegion:
    x1, y1, x2, y2 = box = row_box(region)
    quad = tuple(region["quad"]) or tuple(corners_of(box))
    outside = not (x1 < width and y1 < height and x2 > 0 and y2 > 0)
    crowd = region["score_kind"] == "crowd"
    return ViewedRegion(region["id"], region["label"], box, quad, region["rle"], crowd, outside)


def _best_first(region_texts: Sequence[Mapping[str, Any]], granularity: str) -> dict[str, list[SourceText]]:
    """{region id: its texts}: human texts first, then by score. Human texts have no score."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for item in region_texts:
        if item["granularity"] == granularity:
            found.setdefault(item["region_id"], []).append(item)
    for items in found.values():
        if len(items) > 1:
            items.sort(key=lambda item: (item["score"] is not None, -(item["score"] or 0.0)))
    return {region: [SourceText(item["id"], item["text"]) for item in items] for region, items in found.items()}
