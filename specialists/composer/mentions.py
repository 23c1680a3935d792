"""Selects what a composed text mentions: objects with a sufficient score, grouped by class, and printed words.

The less certain the boxes are, the vaguer is the count. Human boxes are counted up to ten. Detectors often miss some of
several objects. So if there are more than three detected objects, or further doubtful boxes, the text has "some",
"several" or "many". The same holds for a crowd.

Each object is mentioned once, by its best label, because detectors may give one object two labels, such as couch and
bed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from engine.records.boxes import area, box_of, share_inside
from engine.records.overlaps import iou_pairs, suppressors
from engine.schema import Region, RegionText, Sample
from specialists.english import Noun, noun

SAME, OTHER = (
    0.5,
    0.6,
)  # a box is a duplicate if its IoU with a better box of the same (of another) label is at least this
COPY = 0.9  # two human boxes are one object only if they are nearly equal
PART = 0.85  # a detected box of which this share lies inside a larger one of its label may be a part: a cat's head
DOUBTFUL = 0.3  # boxes with a lower score are ignored
COUNTED = {"people": 10, "machine": 3}  # human and detected boxes are counted up to here
SEVERAL, MANY = 3, 6  # smallest number of boxes for these words
GROUND = frozenset(("dining table", "table", "bed", "couch", "sofa"))
WIDEST_LINE = 0.35  # share of the photo; larger lines are mistakes of OCR, which reads stripes or fur as text
ONE_GLYPH = 2  # fewest different letters and digits; "0", "11" and "OOO" are misread eyes and wheels


@dataclass(frozen=True, slots=True)
class Mention:
    """The objects of one class, as a text mentions them. `members`: the regions that the mention relies on, largest
    first.
    """

    noun: Noun
    members: tuple[Region, ...]
    amount: str  # "a cat", "two cats", "several cats"
    plural: bool

    def area(self) -> float:
        return sum(area(box_of(member)) for member in self.members)

    def definite(self) -> str:
        name = self.noun
        return f"the {name.many if self.plural else name.bare or name.one}"

    @property
    def countable(self) -> bool:
        """Whether the amount is an exact count: each member is one object, and there are no further objects."""
        return not (self.noun.always_plural or self.noun.uncounted) and self.amount == self.noun.indefinite(
            len(self.members)
        )


@dataclass(frozen=True, slots=True)
class Printed:
    region: Region
    source: RegionText
    words: str

    @property
    def letters(self) -> float:
        """The height of the letters in pixels: the shorter side of the line, which may run horizontally or
        vertically.
        """
        return min(self.region.x2 - self.region.x1, self.region.y2 - self.region.y1)


def mentions(sample: Sample, min_score: float, max_classes: int) -> list[Mention]:
    """The classes that cover the largest areas, at most `max_classes`, largest first. Tables, beds and similar classes
    come last.
    """
    by_class: dict[Noun, list[Region]] = {}
    for region in one_each([r for r in sample.regions if r.kind == "object" and any(map(str.isalpha, r.label))]):
        by_class.setdefault(noun(region.label), []).append(region)
    found = [mention(name, regions, min_score) for name, regions in by_class.items()]
    largest = sorted((m for m in found if m), key=lambda m: (-m.area(), m.noun.one))[:max_classes]
    return sorted(largest, key=lambda m: m.noun.one in GROUND)


def one_each(regions: Sequence[Region]) -> list[Region]:
    """The regions without duplicates, largest first. Of several duplicates a human box is kept, or else the one with
    the best score.
    """
    regions = sorted(regions, key=lambda r: (-area(box_of(r)), r.x1, r.y1, r.id))
    boxes = np.array([(r.x1, r.y1, r.x2, r.y2) for r in regions], np.float64).reshape(-1, 4)
    score = np.array([2.0 if r.score is None else r.score for r in regions])
    label = np.array([r.label for r in regions])
    i, j, iou = iou_pairs(np.zeros(len(regions), np.int64), boxes, min_iou=SAME)
    same, people = label[i] == label[j], (score[i] > 1) & (score[j] > 1)
    near = np.where(people, same & (iou >= COPY), iou >= np.where(same, SAME, OTHER))
    keep = suppressors(i[near], j[near], score) < 0
    return [region for region, kept in zip(regions, keep.tolist(), strict=True) if kept]


def mention(name: Noun, regions: Sequence[Region], min_score: float) -> Mention | None:
    sure = [r for r in regions if r.score is None or r.score >= min_score]
    sure = [r for r in sure if r.score is None or not _is_part(r, sure)]
    others = [r for r in regions if r not in sure and (r.score or 0.0) >= DOUBTFUL]
    doubtful = sorted(others, key=lambda r: -(r.score or 0.0))
    if not sure:
        return None
    if any(r.score_kind == "crowd" for r in sure):
        return Mention(name, tuple(sure), name.vague("several"), plural=not name.bare)
    count, most = len(sure), COUNTED["people" if all(r.score is None for r in sure) else "machine"]
    if count <= most and not (doubtful and count + len(doubtful) >= SEVERAL):
        return Mention(name, tuple(sure), name.indefinite(count), name.is_plural(count))
    relied_on = sure if count > 1 else [*sure, doubtful[0]]
    word = "some" if count < SEVERAL else "several" if count < MANY else "many"
    return Mention(name, tuple(relied_on), name.vague(word), plural=not name.bare)


def _is_part(region: Region, others: Sequence[Region]) -> bool:
    return any(
        other is not region
        and other.score is not None
        and area(box_of(other)) > area(box_of(region))
        and share_inside(box_of(region), box_of(other)) >= PART
        for other in others
    )


def printed(sample: Sample, min_score: float, max_words: int) -> list[Printed]:
    """The printed text to quote, largest letters first, without repeated texts.

    Text with a low score is left out. So is text that does not look like words, unless a human wrote it.
    """
    regions = {region.id: region for region in sample.regions if region.kind == "text"}
    found: list[Printed] = []
    for source in sample.region_texts:
        region = regions.get(source.region_id)
        if source.granularity != "ocr" or region is None:
            continue
        human = source.score is None
        sure = human or (source.score or 0.0) >= min_score
        if sure and (human or can_be_words(source.text)) and _is_line(region, sample):
            every = source.text.replace('"', "'").split()
            words = " ".join(every[:max_words]) + ("..." if len(every) > max_words else "")
            if any(map(str.isalnum, words)):
                found.append(Printed(region, source, words))
    found.sort(key=lambda item: (-item.letters, item.region.y1, item.region.x1, item.region.id))
    return list({item.words: item for item in reversed(found)}.values())[::-1]


def can_be_words(text: str) -> bool:
    glyphs = [char.casefold() for char in text if char.isalnum()]
    marks = sum(not char.isspace() for char in text)
    return len(set(glyphs)) >= ONE_GLYPH and 2 * len(glyphs) > marks


def _is_line(region: Region, sample: Sample) -> bool:
    return region.score is None or area(box_of(region)) <= WIDEST_LINE * sample.width * sample.height
