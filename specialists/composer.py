"""Texts written by rule from regions and the words read on them: brief, detailed, more detailed.

Nothing is claimed that boxes do not show. Places and relations are those of the picture plane ("appears to the
left of"); depth ("in front of"), poses and deeds never are, because no box tells them apart: a rider's horse, a
chair under its sitter and a dog before a sofa look alike. The verbs (shows, appears, spans, overlap, reads) are
true of a picture. An image with no region and no words above the floor gets no text at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from engine.errors import ConfigError
from engine.ranges import Share
from engine.schema import Answer, Region, RegionText, Sample, Text
from specialists.synonyms import Noun, listed, noun

BRIEF_CLASSES = 4
BRIEF_COUNT = 10  # above it a brief text says "more than ten"
PLACED = {"detailed": 3, "more_detailed": 6}  # classes whose place is told
RELATED = 4
QUOTES = {"detailed": 1, "more_detailed": 3}
TOUCH = 0.1  # boxes may reach this share of the smaller one into each other and still lie side by side
COVERED = 0.25  # of the smaller box: less is not worth saying


@dataclass(frozen=True, slots=True)
class Group:
    """The regions of one class, largest first."""

    noun: Noun
    members: tuple[Region, ...]

    def area(self) -> float:
        return sum(area(region) for region in self.members)

    def definite(self) -> str:
        return self.noun.definite(len(self.members))

    def verb(self, stem: str) -> str:
        return stem if self.noun.is_plural(len(self.members)) else f"{stem}s"


@dataclass(frozen=True, slots=True)
class Printed:
    region: Region
    source: RegionText
    words: str


class Composer:
    """Options:

    min_score    regions and words below it are not spoken of; human ones always are
    max_objects  at most so many objects are spoken of, the largest first
    max_words    at most so many words of one printed text are quoted
    """

    needs: ClassVar[tuple[str, ...]] = ("kept_regions",)
    uses: ClassVar[tuple[str, ...]] = ("ocr",)
    gives: ClassVar[tuple[str, ...]] = ("texts",)
    version: ClassVar[int] = 1
    deterministic: ClassVar[bool] = True

    def __init__(self, *, min_score: Share = 0.3, max_objects: int = 30, max_words: int = 8) -> None:
        if max_objects < 1 or max_words < 1:
            raise ConfigError(
                f"composer needs max_objects and max_words of at least 1, not {max_objects}, {max_words}."
            )
        self.min_score = min_score
        self.max_objects = max_objects
        self.max_words = max_words
        self.batch_size = 256

    def load(self) -> None:
        """Nothing to load."""

    def annotate(self, batch: Sequence[Sample]) -> list[Answer]:
        return [self.compose(sample) for sample in batch]

    def compose(self, sample: Sample) -> Answer:
        groups = self.groups(sample)
        printed = self.printed(sample)
        if not groups and not printed:
            return Answer()
        picture = Picture(sample.width, sample.height)
        writers: dict[str, Callable[[list[Group], list[Printed], Picture], Draft]] = {
            "brief": brief,
            "detailed": detailed,
            "more_detailed": more_detailed,
        }
        texts = []
        for granularity, write in writers.items():
            draft = write(groups, printed, picture)
            score, parents = draft.score(), draft.parents()
            kind = "rule_min_region_score"
            texts.append(Text(draft.text(), granularity, score=score, score_kind=kind, parents=parents))
        return Answer(texts=texts)

    def trusted(self, region: Region | RegionText) -> bool:
        return region.score is None or region.score >= self.min_score

    def groups(self, sample: Sample) -> list[Group]:
        """The classes to speak of, by the area they cover."""
        objects = [region for region in sample.regions if region.kind == "object" and self.trusted(region)]
        objects = [region for region in objects if any(char.isalpha() for char in region.label)]
        objects.sort(key=lambda region: (-area(region), region.x1, region.y1, region.id))
        by_class: dict[Noun, list[Region]] = {}
        for region in objects[: self.max_objects]:
            by_class.setdefault(noun(region.label), []).append(region)
        groups = [Group(name, tuple(members)) for name, members in by_class.items()]
        return sorted(groups, key=lambda group: (-group.area(), group.noun.one))

    def printed(self, sample: Sample) -> list[Printed]:
        """What was read, from top to bottom, then from left to right."""
        regions = {region.id: region for region in sample.regions if region.kind == "text" and self.trusted(region)}
        found = []
        for source in sample.region_texts:
            region = regions.get(source.region_id)
            words = " ".join(source.text.replace('"', "'").split()[: self.max_words])
            if source.granularity == "ocr" and region and self.trusted(source) and any(map(str.isalnum, words)):
                found.append(Printed(region, source, words))
        return sorted(found, key=lambda item: (item.region.y1, item.region.x1, item.region.id))


class Draft:
    """Sentences and what they rely on."""

    def __init__(self) -> None:
        self.sentences: list[str] = []
        self.used: dict[str, float | None] = {}

    def add(self, sentence: str, sources: Iterable[Region | RegionText]) -> None:
        self.sentences.append(sentence[0].upper() + sentence[1:])
        self.used.update((source.id, source.score) for source in sources)

    def text(self) -> str:
        return " ".join(self.sentences)

    def score(self) -> float:
        """Of the least certain region spoken of; human ones are certain."""
        return min((score for score in self.used.values() if score is not None), default=1.0)

    def parents(self) -> list[str]:
        return list(self.used)


def brief(groups: list[Group], printed: list[Printed], picture: Picture) -> Draft:
    draft = Draft()
    if groups:
        named = groups[:BRIEF_CLASSES]
        names = listed([group.noun.indefinite(len(group.members), most=BRIEF_COUNT) for group in named])
        draft.add(f"A photo of {names}.", members(named))
    else:
        draft.add(f"A photo with {quotation(printed[0])}.", sources(printed[:1]))
    return draft


def detailed(groups: list[Group], printed: list[Printed], picture: Picture) -> Draft:
    draft = Draft()
    opening(draft, groups)
    places(draft, groups[: PLACED["detailed"]], picture)
    readings(draft, printed[: QUOTES["detailed"]], picture)
    return draft


def more_detailed(groups: list[Group], printed: list[Printed], picture: Picture) -> Draft:
    draft = Draft()
    opening(draft, groups)
    places(draft, groups[: PLACED["more_detailed"]], picture)
    relations(draft, groups)
    readings(draft, printed[: QUOTES["more_detailed"]], picture)
    return draft


def opening(draft: Draft, groups: list[Group]) -> None:
    if groups:
        names = listed([group.noun.indefinite(len(group.members)) for group in groups])
        draft.add(f"The photo shows {names}.", members(groups))


def places(draft: Draft, groups: list[Group], picture: Picture) -> None:
    for group in groups:
        draft.add(picture.whereabouts(group) + ".", group.members)


def relations(draft: Draft, groups: list[Group]) -> None:
    """Where other classes are, seen from the largest thing; a class is named if one relation holds for all of it."""
    if len(groups) < 2:
        return
    anchor = max(groups, key=lambda group: area(group.members[0]))
    thing = anchor.members[0]
    name = anchor.definite() if len(anchor.members) == 1 else f"the most prominent {anchor.noun.one}"
    told: dict[str, list[Group]] = {}
    for group in groups:
        kinds = {relation(member, thing) for member in group.members} if group is not anchor else set()
        if len(kinds) == 1 and (kind := kinds.pop()) and sum(map(len, told.values())) < RELATED:
            told.setdefault(kind, []).append(group)
    for kind, related in told.items():
        stem, rest = ("overlap", "") if kind == "overlap" else ("appear", f" {kind}")
        verb = stem if len(related) > 1 else related[0].verb(stem)
        subject = listed([group.definite() for group in related])
        draft.add(f"{subject} {verb}{rest} {name}.", (*members(related), thing))


def readings(draft: Draft, printed: list[Printed], picture: Picture) -> None:
    for item in printed:
        draft.add(f'Text {picture.place([item.region])} reads "{item.words}".', sources([item]))


def quotation(item: Printed) -> str:
    return f'the word{"s" if " " in item.words else ""} "{item.words}"'


def members(groups: Iterable[Group]) -> list[Region]:
    return [region for group in groups for region in group.members]


def sources(printed: Iterable[Printed]) -> list[Region | RegionText]:
    return [source for item in printed for source in (item.region, item.source)]


@dataclass(frozen=True, slots=True)
class Picture:
    width: int
    height: int

    def whereabouts(self, group: Group) -> str:
        """A sentence without its full stop."""
        spots = [self.place([region]) for region in group.members]
        if len(set(spots)) == 1:
            return f"{group.definite()} {group.verb('appear')} {spots[0]}{self.size(group)}"
        if len(spots) == 2:
            left, right = sorted(group.members, key=lambda region: (region.x1 + region.x2, region.y1))
            verb = "appear" if group.noun.always_plural else "appears"
            first = f"one {group.noun.one}" if not group.noun.always_plural else f"some {group.noun.many}"
            other = "the other" if not group.noun.always_plural else "others"
            return f"{first} {verb} {self.place([left])} and {other} {self.place([right])}"
        return f"{group.definite()} {group.verb('appear')} {self.place(group.members)}"

    def size(self, group: Group) -> str:
        if len(group.members) > 1:
            return ""
        share = group.area() / (self.width * self.height)
        if share >= 0.5:
            return f" and {group.verb('span')} most of the photo"
        if share >= 0.2:
            return f" and {group.verb('span')} a large part of the photo"
        return f" and {group.verb('take')} up a small part of the photo" if share < 0.01 else ""

    def place(self, regions: Sequence[Region]) -> str:
        """The ninth of the picture all centres lie in; the row or column they share; or "in different places"."""
        columns = {third((region.x1 + region.x2) / 2, self.width) for region in regions}
        rows = {third((region.y1 + region.y2) / 2, self.height) for region in regions}
        column = ("left", "", "right")[columns.pop()] if len(columns) == 1 else ""
        row = ("top", "", "bottom")[rows.pop()] if len(rows) == 1 else ""
        if row:
            return f"at the {row} {column}".rstrip()
        if column:
            return f"on the {column}"
        return "in the centre" if len(regions) == 1 else "in different places"


def third(value: float, size: int) -> int:
    return min(2, max(0, int(3 * value / size)))


def relation(one: Region, other: Region) -> str:
    """How the first lies to the second in the picture plane; '' if no plain word fits."""
    across, down = reach(one.x1, one.x2, other.x1, other.x2), reach(one.y1, one.y2, other.y1, other.y2)
    if across <= TOUCH and down > TOUCH:
        return "to the left of" if one.x1 < other.x1 else "to the right of"
    if down <= TOUCH and across >= 0.5:
        return "above" if one.y1 < other.y1 else "below"
    smaller = min(area(one), area(other))
    common = overlap(one.x1, one.x2, other.x1, other.x2) * overlap(one.y1, one.y2, other.y1, other.y2)
    return "overlap" if common >= COVERED * smaller else ""


def overlap(a1: float, a2: float, b1: float, b2: float) -> float:
    return max(0.0, min(a2, b2) - max(a1, b1))


def reach(a1: float, a2: float, b1: float, b2: float) -> float:
    """The common part of two intervals as a share of the shorter."""
    return overlap(a1, a2, b1, b2) / max(min(a2 - a1, b2 - b1), 1e-9)


def area(region: Region) -> float:
    return (region.x2 - region.x1) * (region.y2 - region.y1)
