"""Grounds the noun chunks of texts on object regions by name: head noun, number and synonyms. It does
not look at pixels.

A chunk names a region if it ends in the region's label, in the label's plural, or in a synonym. A verb that the parser
took for the head may follow ("a zebra grazing"). Every chunk becomes a phrase. A pronoun, or a chunk that names no
region, becomes a phrase with empty `region_ids`; filters decide whether to keep it.

If there are several cats, "the cat" is grounded on the one with the best score; of equal ones, on the largest. Only a
plural is grounded on a crowd, which is one box around many objects.

A phrase needs one region if it is singular, two if it is plural, and n if it has the number n. Its score is the lowest
score among the n best regions that it needs. So "the cats" with two certain boxes and a doubtful one is certain.
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

# Verbs that may follow the name at the end of a chunk: "a zebra grazing", "the cat stares".
VERBS = frozenset(
    spaced(
        "standing sitting lying laying walking running riding grazing swimming flying jumping kneeling eating drinking "
        "sleeping resting playing looking staring posing waiting smiling speeding travelling traveling skating skiing "
        "surfing driving parked stands stand sits sit lies lays walks runs rides grazes swims flies jumps kneels eats "
        "drinks sleeps rests plays looks stares poses waits smiles travels skates surfs drives glides swings parks "
        "crosses approaches passes spans fills"
    )
)

# Names that end in the name of a class but mean something else ("hot dog"), even if the image has no such object.
OTHER_THINGS = frozenset(
    form for label in (*(name for name in SYNONYMS if " " in name), *LOOKALIKES) for form in (label, plural(label))
)


@dataclass(frozen=True, slots=True)
class Name:
    label: str
    plural: bool | None  # None: singular and plural are equal ("sheep")


@dataclass(frozen=True, slots=True)
class Named:
    """The regions that a chunk names, best score first. `needed`: how many of them must exist for the chunk to
    be true.
    """

    regions: Sequence[Region] = ()
    needed: int = 1

    @property
    def certainty(self) -> float:
        """The lowest certainty among the needed regions. Without regions it is 1, because nothing is claimed."""
        scores = sorted(map(certainty, self.regions), reverse=True)
        return scores[min(self.needed, len(scores)) - 1] if scores else 1.0


class LabelGrounder:
    """Options:

    synonyms  whether synonyms count ("man" for person, "kitten" for cat). If not, only labels and their plurals count
    """

    needs: ClassVar[tuple[str, ...]] = ("texts", "parse", "kept_regions")
    gives: ClassVar[tuple[str, ...]] = ("phrases",)
    version: ClassVar[int] = 3
    deterministic: ClassVar[bool] = True
    code_licence: ClassVar[str] = "apache-2.0"
    weights_licence: ClassVar[str] = ""

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
    """All names of these labels. If a label is also a synonym of another one ("table" and "dining table"), the name
    means the label itself.
    """
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
    """The regions that a chunk names. The longest name at its end decides, so "hot dog" does not name a dog."""
    words = plain_words(chunk.text).split()
    found = ending(words, names)
    if found is None and len(words) > 1 and words[-1] in VERBS:
        words.pop()
        found = ending(words, names)
        chunk = replace(chunk, plural=False)  # the final "s" is that of the verb, not a plural
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
    """(position, name) of the longest known name at the end of the words. None if there is none, or if the words end in
    the name of something else ("hot dog").
    """
    for start in range(max(0, len(words) - LONGEST_NAME), len(words)):
        last = " ".join(words[start:])
        if last in names:
            return start, names[last]
        if last in OTHER_THINGS:
            return None
    return None


def counted(words: Iterable[str]) -> int | None:
    """The last number among the words ("one" to "twelve", "both", "pair", or digits); None if there is none."""
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
    """The region's score; 1 for a human region, which has none."""
    return 1.0 if region.score is None else region.score
