"""Noun chunks of texts grounded on object regions by name: head noun, number, synonyms.

No pixels are looked at: the name of a chunk must end in the label of a region, its plural or a synonym; only a verb
that the parser took for its head may follow ("a zebra grazing"). Every chunk becomes a phrase, also a pronoun or one
that names nothing (its `region_ids` are empty): judging is the filters' business. Which of several cats "the cat"
means is unknown; the most certain, then the largest is taken. A crowd, one box around many, is named by plurals alone.

The score of a phrase is that of the regions it needs: one region for a singular, two for a plural, as many as a number
says. So "the cats" over two sure boxes and a doubtful one is sure.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import ClassVar

from engine.records.boxes import area, box_of
from engine.records.labels import plain_words
from engine.schema import Answer, Chunk, Phrase, Region, Sample, Text
from specialists.english import COLLECTIVE, LOOKALIKES, NUMBERS, SYNONYMS, noun, plural, spaced

LONGEST_NAME = 4  # words
COUNTS = {word: count for count, word in enumerate(NUMBERS)} | {"both": 2, "pair": 2, "couple": 2}

# A chunk that ends in one of these behind a name means what is named: "a zebra grazing", "the cat stares".
VERBS = frozenset(
    spaced(
        "standing sitting lying laying walking running riding grazing swimming flying jumping kneeling eating drinking "
        "sleeping resting playing looking staring posing waiting smiling speeding travelling traveling skating skiing "
        "surfing driving parked stands stand sits sit lies lays walks runs rides grazes swims flies jumps kneels eats "
        "drinks sleeps rests plays looks stares poses waits smiles travels skates surfs drives glides swings parks "
        "crosses approaches passes spans fills"
    )
)

# What ends in the name of a class and is none of it, whether or not its own class is in the image.
OTHER_THINGS = frozenset(
    form for label in (*(name for name in SYNONYMS if " " in name), *LOOKALIKES) for form in (label, plural(label))
)


@dataclass(frozen=True, slots=True)
class Name:
    label: str
    plural: bool | None  # None: the form is both ("sheep")


@dataclass(frozen=True, slots=True)
class Named:
    """Regions a chunk names, the surest first, and how many of them it needs for what it says to be true."""

    regions: Sequence[Region] = ()
    needed: int = 1

    @property
    def certainty(self) -> float:
        """That of the last region needed; 1 for none: nothing is claimed."""
        scores = sorted(map(certainty, self.regions), reverse=True)
        return scores[min(self.needed, len(scores)) - 1] if scores else 1.0


class LabelGrounder:
    """Options:

    synonyms  whether "man" may name a person and "kitten" a cat, or only the labels themselves and their plurals
    """

    needs: ClassVar[tuple[str, ...]] = ("texts", "parse", "kept_regions")
    gives: ClassVar[tuple[str, ...]] = ("phrases",)
    version: ClassVar[int] = 3
    deterministic: ClassVar[bool] = True

    def __init__(self, *, synonyms: bool = True) -> None:
        self.synonyms = synonyms
        self.batch_size = 256

    def load(self) -> None:
        """Nothing to load."""

    def annotate(self, batch: Sequence[Sample]) -> list[Answer]:
        return [Answer(phrases=self.ground(sample)) for sample in batch]

    def ground(self, sample: Sample) -> list[Phrase]:
        regions: dict[str, list[Region]] = {}
        for region in sample.regions:
            if region.kind == "object" and region.label:
                regions.setdefault(plain_words(region.label), []).append(region)
        for same in regions.values():
            same.sort(key=lambda region: (-certainty(region), -area(box_of(region)), region.id))
        names = self.names(frozenset(regions))
        return [
            phrase(text, chunk, named(chunk, names, regions))
            for text in sample.texts
            if text.text_key in sample.parse
            for chunk in sample.parse[text.text_key].chunks
        ]

    def names(self, labels: frozenset[str]) -> dict[str, Name]:
        return all_names(labels, self.synonyms)


@cache
def all_names(labels: frozenset[str], synonyms: bool) -> dict[str, Name]:
    """What may be said for each label. A label itself goes before a synonym of another: "table", "dining table"."""
    names: dict[str, Name] = {}
    if synonyms:
        for label in sorted(labels):
            for synonym in SYNONYMS.get(label, ()):
                add(names, synonym, label)
        names |= {word: Name(label, plural=True) for word, label in COLLECTIVE.items() if label in labels}
    for label in sorted(labels):
        names.pop(label, None)
        add(names, label, label)
    return names


def add(names: dict[str, Name], one: str, label: str) -> None:
    many = plural(one)
    if many == one:
        names[one] = Name(label, plural=None)
    elif (word := noun(one)).always_plural or word.bare or word.many.startswith("pairs of"):
        names[one] = Name(label, plural=True)  # "flowers", "scissors", "broccoli": one form for any number
    else:
        names[many] = Name(label, plural=True)
        names[one] = Name(label, plural=False)


def named(chunk: Chunk, names: dict[str, Name], regions: dict[str, list[Region]]) -> Named:
    """The regions a chunk names: the longest name it ends in decides, and "hot dog" is no dog."""
    words = plain_words(chunk.text).split()
    found = ending(words, names)
    if found is None and len(words) > 1 and words[-1] in VERBS:
        words.pop()
        found = ending(words, names)
        chunk = replace(chunk, plural=False)  # the verb's "s" is no plural
    if found is None:
        return Named()
    start, name = found
    many = chunk.plural if name.plural is None else name.plural
    count = counted(words[:start])
    single = [region for region in regions[name.label] if region.score_kind != "crowd"]
    if count is not None:
        return Named(single[:count], count)
    return Named(regions[name.label], 2) if many else Named(single[:1])


def ending(words: Sequence[str], names: dict[str, Name]) -> tuple[int, Name] | None:
    """The longest name that the words end in, and where it begins; none if they end in something that is not ours."""
    for start in range(max(0, len(words) - LONGEST_NAME), len(words)):
        last = " ".join(words[start:])
        if last in names:
            return start, names[last]
        if last in OTHER_THINGS:
            return None
    return None


def counted(words: Iterable[str]) -> int | None:
    """The last number among the words before the name; "one" to "twelve", "both", or digits."""
    counts = [COUNTS[word] if word in COUNTS else int(word) for word in words if word in COUNTS or is_count(word)]
    return counts[-1] if counts and counts[-1] > 0 else None


def is_count(word: str) -> bool:
    return word.isascii() and word.isdigit() and len(word) < 4


def phrase(text: Text, chunk: Chunk, meant: Named) -> Phrase:
    names = [region.id for region in meant.regions]
    return Phrase(
        text.id,
        chunk.char_start,
        chunk.char_end,
        names,
        score=meant.certainty,
        score_kind="label_match",
        parents=[text.id, *names],
    )


def certainty(region: Region) -> float:
    """Human regions carry no score and are certain."""
    return 1.0 if region.score is None else region.score
