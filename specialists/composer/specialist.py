"""Writes texts by rules from regions and printed words: brief, detailed and more detailed.

Texts state only what boxes show: which objects, how many if that is certain (`mentions.py`), and where in the picture
plane (`picture_plane.py`). They never state depth, pose or action. A longer text is written only if it adds
information, so many photos have no more detailed text. A photo in which no object is certain has no text.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar

from engine.config.ranges import Share
from engine.errors import ConfigError
from engine.records.boxes import area, box_of
from engine.schema import GRANULARITIES, Answer, Region, RegionText, Sample, Text
from specialists.composer.mentions import Mention, Printed, mentions, printed
from specialists.composer.picture_plane import Picture, relation
from specialists.english import listed

BRIEF_CLASSES = 3
PROMINENT = 0.05  # a brief text omits classes that cover less than this share of the largest class
PLACED = 3  # number of classes whose location a detailed text gives
RELATIONS = 2  # most sentences about directions in a more detailed text
QUOTES = {"detailed": 1, "more_detailed": 3}
# A photo without certain objects is described by its words, if the letters are high enough (as a share of the photo's
# shorter side) or if it is a page: it has enough lines, and they cover enough of it. Small print alone is not enough.
LARGE_LETTERS, PAGE_LINES, PAGE_COVER = 0.08, 5, 0.1


class Composer:
    """Options:

    min_score       objects with a lower score are not mentioned; human objects always are. With the packaged detectors,
                    97 to 98 % of the mentioned classes are in the photo at 0.7, and 90 to 97 % at 0.5
    min_word_score  printed text with a lower score is not quoted; single or repeated characters never are
    max_classes     the most classes that are mentioned; those that cover the largest areas are taken
    max_words       the most words of one printed line that are quoted
    """

    needs: ClassVar[tuple[str, ...]] = ("kept_regions",)
    uses: ClassVar[tuple[str, ...]] = ("ocr",)
    gives: ClassVar[tuple[str, ...]] = ("texts",)
    version: ClassVar[int] = 3
    key_name: ClassVar[str] = "specialists.composer:Composer"
    deterministic: ClassVar[bool] = True
    code_licence: ClassVar[str] = "apache-2.0"
    weights_licence: ClassVar[str] = ""

    def __init__(
        self, *, min_score: Share = 0.7, min_word_score: Share = 0.98, max_classes: int = 8, max_words: int = 8
    ) -> None:
        if max_classes < 1 or max_words < 1:
            raise ConfigError(f"composer has max_classes={max_classes}, max_words={max_words}: give at least 1 each.")
        self.min_score, self.min_word_score = min_score, min_word_score
        self.max_classes, self.max_words = max_classes, max_words
        self.batch_size = 256

    def load(self) -> None:
        """Nothing to load."""

    def annotate(self, batch: Sequence[Sample]) -> list[Answer]:
        return [self.compose(sample) for sample in batch]

    def compose(self, sample: Sample) -> Answer:
        named = mentions(sample, self.min_score, self.max_classes)
        quoted = printed(sample, self.min_word_score, self.max_words)
        picture, answer = Picture(sample.width, sample.height), Answer()
        if not named and not is_of_words(quoted, picture):
            return answer
        first, facts = brief(named, quoted, picture), set[str]()
        longer = detailed(named, quoted, picture), more_detailed(named, quoted, picture)
        # Keep a draft only if it adds facts. The first longer draft that does becomes the detailed text.
        for draft in (first, *longer):
            if draft.facts - facts:
                answer.texts.append(draft.as_text(GRANULARITIES[len(answer.texts)]))
            facts |= draft.facts
        return answer


class Draft:
    """A text in progress. facts: what its sentences state. used: {annotation id: score} of the annotations that the
    sentences rely on.
    """

    def __init__(self) -> None:
        self.sentences: list[str] = []
        self.facts: set[str] = set()
        self.used: dict[str, float | None] = {}

    def add(self, sentence: str, sources: Iterable[Region | RegionText], *facts: str) -> None:
        self.sentences.append(sentence[0].upper() + sentence[1:])
        self.used.update((source.id, source.score) for source in sources)
        self.facts.update(facts)

    def as_text(self, granularity: str) -> Text:
        """The finished text. Its score is the lowest score among the annotations that it relies on. Human annotations
        count as 1.
        """
        score = min((score for score in self.used.values() if score is not None), default=1.0)
        return Text(
            " ".join(self.sentences),
            granularity,
            score=score,
            score_kind="rule_min_region_score",
            parents=list(self.used),
        )


def is_page(quoted: list[Printed], picture: Picture) -> bool:
    covered = sum(area(box_of(item.region)) for item in quoted)
    return len(quoted) >= PAGE_LINES and covered >= PAGE_COVER * picture.width * picture.height


def is_of_words(quoted: list[Printed], picture: Picture) -> bool:
    least = LARGE_LETTERS * min(picture.width, picture.height)
    return is_page(quoted, picture) or any(item.letters >= least for item in quoted)


def brief(named: list[Mention], quoted: list[Printed], picture: Picture) -> Draft:
    """ "A photo of a cat and two cups." """
    draft = Draft()
    if named:
        most = max(map(Mention.area, named))
        first = [mention for mention in named if mention.area() >= PROMINENT * most][:BRIEF_CLASSES]
        amounts = [mention.amount for mention in first]
        draft.add(f"A photo of {listed(amounts)}.", _members(first), *amounts)
    elif is_page(quoted, picture):
        draft.add("A photo of printed text.", _sources(quoted), "text")
    else:
        draft.add(f"A photo with {_quotation(quoted[0])}.", _sources(quoted[:1]), quoted[0].words)
    return draft


def detailed(named: list[Mention], quoted: list[Printed], picture: Picture) -> Draft:
    """ "The photo shows a cat on the left and two cups at the top right. It also shows a spoon." """
    draft = Draft()
    placed = _by_place(named[:PLACED], picture)
    if placed:
        parts = [f"{listed([m.amount for m in there])} {place}" for place, there in placed.items()]
        first = [mention for there in placed.values() for mention in there]
        facts = [_fact(mention, place) for place, there in placed.items() for mention in there]
        draft.add(f"The photo shows {listed(parts)}.", _members(first), *facts, *(m.amount for m in first))
    located = {mention.noun for there in placed.values() for mention in there}
    if rest := [mention for mention in named if mention.noun not in located]:
        amounts = [mention.amount for mention in rest]
        start = "It also shows" if placed else "The photo shows"
        draft.add(f"{start} {listed(amounts)}.", _members(rest), *amounts)
    _readings(draft, quoted[: QUOTES["detailed"]], None if named else picture)
    return draft


def more_detailed(named: list[Mention], quoted: list[Printed], picture: Picture) -> Draft:
    """A draft with all classes, their locations, the directions from the largest object, and the printed words."""
    draft = Draft()
    if named:
        amounts = [mention.amount for mention in named]
        draft.add(f"The photo shows {listed(amounts)}.", _members(named), *amounts)
    placed = _by_place(named, picture)
    _places(draft, placed)
    located = {mention.noun for there in placed.values() for mention in there}
    for mention in named:
        if mention.noun not in located and mention.countable and len(mention.members) == 2:
            _two_places(draft, mention, picture)
    _relations(draft, named, picture)
    _readings(draft, quoted[: QUOTES["more_detailed"]], picture)
    return draft


def _by_place(named: Iterable[Mention], picture: Picture) -> dict[str, list[Mention]]:
    placed: dict[str, list[Mention]] = {}
    for mention in named:
        if place := picture.place(mention.members):
            placed.setdefault(place, []).append(mention)
    return placed


def _places(draft: Draft, placed: dict[str, list[Mention]]) -> None:
    """ "The cat is on the left, the cups at the top right and the spoon and the fork at the bottom." """
    if not placed:
        return
    clauses: list[str] = []
    for place, there in placed.items():
        subject, verb = _subject(there)
        clauses.append(f"{subject} {place}" if clauses else f"{subject} {verb} {place}")
    facts = [_fact(mention, place) for place, there in placed.items() for mention in there]
    draft.add(f"{listed(clauses)}.", _members(m for there in placed.values() for m in there), *facts)


def _subject(named: Sequence[Mention]) -> tuple[str, str]:
    """The subject of a sentence and its verb, for example ("the cat and the dog", "are")."""
    verb = "are" if len(named) > 1 or named[0].plural else "is"
    return listed([mention.definite() for mention in named]), verb


def _two_places(draft: Draft, mention: Mention, picture: Picture) -> None:
    one, other = sorted(mention.members, key=lambda region: (region.x1 + region.x2, region.y1))
    places = picture.place([one]), picture.place([other])
    if all(places) and places[0] != places[1]:
        sentence = f"One {mention.noun.one} can be seen {places[0]} and the other {places[1]}."
        draft.add(sentence, (one, other), *(_fact(mention, place) for place in places))


def _relations(draft: Draft, named: list[Mention], picture: Picture) -> None:
    """Adds directions seen from the largest single object. A direction is left out if the locations of both objects
    imply it.
    """
    anchor = max((m for m in named if m.countable and len(m.members) == 1), key=Mention.area, default=None)
    if anchor is None:
        return
    thing, here = anchor.members[0], picture.place(anchor.members)
    found: dict[str, list[Mention]] = {}
    for mention in named:
        kinds = {relation(member, thing) for member in mention.members} if mention is not anchor else set()
        kind = kinds.pop() if len(kinds) == 1 else ""
        if kind and not _is_implied(kind, picture.place(mention.members), here):
            found.setdefault(kind, []).append(mention)
    for kind, related in list(found.items())[:RELATIONS]:
        subject, verb = _subject(related)
        where = f"{kind} {anchor.definite()}"
        facts = [_fact(mention, where) for mention in related]
        draft.add(f"{subject} {verb} {where}.", [*_members(related), thing], *facts)


def _is_implied(kind: str, there: str, here: str) -> bool:
    """Whether two locations imply the direction. For example, a box on the left is to the left of a box in the
    middle.
    """
    side = {"above": "top", "below": "bottom"}.get(kind, "left" if "left" in kind else "right")
    return side in there and bool(here) and side not in here


def _readings(draft: Draft, quoted: list[Printed], picture: Picture | None) -> None:
    """ "The word "STOP" can be read on the left and the number "52" at the top." Without a picture, places are
    left out.
    """
    there: dict[str, list[Printed]] = {}
    for item in quoted:
        there.setdefault(picture.place([item.region]) if picture else "", []).append(item)
    clauses: list[str] = []
    for place, items in there.items():
        verb = "" if clauses else " can be read"
        clauses.append(f"{listed([_quotation(item) for item in items])}{verb} {place}".rstrip())
    facts = [f"{item.words} {place}" for place, items in there.items() for item in items if place]
    if quoted:
        draft.add(f"{listed(clauses)}.", _sources(quoted), *facts, *(item.words for item in quoted))


def _quotation(item: Printed) -> str:
    if not any(map(str.isalpha, item.words)):
        return f'the {"number" if item.words.isdecimal() else "text"} "{item.words}"'  # "08/2019" is not a word
    return f'the word{"s" if " " in item.words else ""} "{item.words}"'


def _fact(mention: Mention, where: str) -> str:
    return f"{mention.noun.one} {where}"


def _members(named: Iterable[Mention]) -> list[Region]:
    return [region for mention in named for region in mention.members]


def _sources(quoted: Iterable[Printed]) -> list[Region | RegionText]:
    return [source for item in quoted for source in (item.region, item.source)]
