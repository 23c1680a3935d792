"""How many of the composer's sentences are true, measured by human labels.

    python -m benchmarks.captions_true --data ../shared/data

Each sentence is parsed back: the classes it names, how many of each, where they are, and their relative positions.
Quoted words are ignored. The first row composes from the labels themselves, the others from detectors: every error of a
detector counts, and so does every object that the labels lack. `every object there` checks only the classes, `all true`
also number, position and side.
"""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks.detectors import DETECTORS, Photos, agree, detect
from engine.schema import GRANULARITIES, Answer, Region, Sample
from specialists.composer.specialist import Composer
from specialists.english import NUMBERS, noun
from specialists.onnx.coco_labels import COCO_80
from specialists.ssd_mobilenet import SsdMobilenet

Box = tuple[float, float, float, float]

AMOUNTS: Mapping[str, tuple[float, float]] = {
    **{word: (count, count) for count, word in enumerate(NUMBERS) if count > 1},
    **dict.fromkeys(("a", "an"), (1, 1)),
    **dict.fromkeys(("one", "the", "some", "the most prominent", ""), (1, math.inf)),
    "several": (3, math.inf),
    "many": (6, math.inf),
    "more than ten": (11, math.inf),
}
SIDES: Mapping[str, Callable[[float, float], bool]] = {
    "left": lambda x, y: x < 0.5,
    "right": lambda x, y: x > 0.5,
    "top": lambda x, y: y < 0.5,
    "bottom": lambda x, y: y > 0.5,
    "middle": lambda x, y: 0.25 <= x <= 0.75 and 0.25 <= y <= 0.75,
    "centre": lambda x, y: 0.25 <= x <= 0.75 and 0.25 <= y <= 0.75,
}
RELATIONS: Mapping[str, Callable[[Box, Box], bool]] = {
    "to the left of": lambda a, b: a[0] + a[2] < b[0] + b[2],
    "to the right of": lambda a, b: a[0] + a[2] > b[0] + b[2],
    "above": lambda a, b: a[1] + a[3] < b[1] + b[3],
    "below": lambda a, b: a[1] + a[3] > b[1] + b[3],
}
RELATED = re.compile(rf"(?:{'|'.join(RELATIONS)}) (?=the )")
SIDE = rf"(?:{'|'.join(SIDES)})"
PLACE = re.compile(rf"(?: (?:is|are|appears?|can be seen))? (?:at|on|in) the ({SIDE}(?: {SIDE})?)\b")


@dataclass(frozen=True, slots=True)
class Claim:
    label: str
    least: float
    most: float
    place: str  # "top left"; '' if the sentence has none
    end: int


@dataclass(frozen=True, slots=True)
class Thing:
    label: str
    box: Box  # in shares of the sides of the photo
    crowd: bool


def claims(sentence: str) -> list[Claim]:
    """The claims of a sentence by the composer."""
    sentence = re.sub(r'"[^"]*"', "", sentence)
    found = []
    for match in _pattern().finditer(sentence):
        label, several = _forms()[match["name"].lower()]
        amount = (match["amount"] or "").strip().lower()
        least, most = AMOUNTS[amount] if amount in AMOUNTS else (int(amount), int(amount))
        place = PLACE.match(sentence, match.end())
        least = max(least, 2 if several else 1)
        found.append(Claim(label, least, max(most, least), place[1] if place else "", match.end()))
    return found


@cache
def _forms() -> dict[str, tuple[str, bool]]:
    """{word for a class: (its label, whether it is plural)}"""
    forms: dict[str, tuple[str, bool]] = {}
    for label in COCO_80:
        name = noun(label)
        forms |= {name.many.lower(): (label, name.many != name.one), name.one.lower(): (label, False)}
        if name.bare:
            forms[name.bare.lower()] = (label, False)
    return forms


@cache
def _pattern() -> re.Pattern[str]:
    amounts = "|".join(sorted(filter(None, AMOUNTS), key=len, reverse=True))
    names = "|".join(map(re.escape, sorted(_forms(), key=len, reverse=True)))
    return re.compile(rf"\b(?:(?P<amount>{amounts}|\d+) )?(?P<name>{names})\b", re.IGNORECASE)


def is_there(sentence: str, things: Sequence[Thing]) -> bool:
    """Whether every class that the sentence names is in the photo."""
    return all(any(thing.label == claim.label for thing in things) for claim in claims(sentence))


def is_true(sentence: str, things: Sequence[Thing]) -> bool:
    """Whether number, position and side are right too. The number of objects in a crowd is unknown."""
    found = claims(sentence)
    return all(_counted(claim, things) and _placed(claim, things) for claim in found) and _related(
        sentence, found, things
    )


def _counted(claim: Claim, things: Sequence[Thing]) -> bool:
    same = [thing for thing in things if thing.label == claim.label]
    if any(thing.crowd for thing in same):
        return claim.most == math.inf
    return claim.least <= len(same) <= claim.most


def _placed(claim: Claim, things: Sequence[Thing]) -> bool:
    if not claim.place:
        return True
    centres = [_centre(thing.box) for thing in things if thing.label == claim.label]
    return any(all(SIDES[side](x, y) for side in claim.place.split()) for x, y in centres)


def _related(sentence: str, found: Sequence[Claim], things: Sequence[Thing]) -> bool:
    for match in RELATED.finditer(sentence):
        holds = RELATIONS[match[0].strip()]
        after = next(claim for claim in found if claim.end > match.end())
        others = [thing.box for thing in things if thing.label == after.label]
        for before in (claim for claim in found if claim.end <= match.start()):
            ones = [thing.box for thing in things if thing.label == before.label]
            if not any(holds(one, other) for one in ones for other in others):
                return False
    return True


def _centre(box: Box) -> tuple[float, float]:
    return (box[0] + box[2]) / 2, (box[1] + box[3]) / 2


def things_of(photos: Photos) -> list[list[Thing]]:
    return [
        [_thing(photos.truth.cats[one["category_id"]]["name"], one, sample) for one in photos.truth.imgToAnns[image]]
        for image, sample in zip(photos.ids, photos.samples, strict=True)
    ]


def _thing(label: str, annotation: Mapping[str, Any], sample: Sample) -> Thing:
    x, y, width, height = annotation["bbox"]
    box = (x / sample.width, y / sample.height, (x + width) / sample.width, (y + height) / sample.height)
    return Thing(label, box, bool(annotation["iscrowd"]))


def drawn_by_people(things: Iterable[Thing], sample: Sample) -> list[Region]:
    """The labels as the source `coco` gives them."""
    regions = []
    for number, thing in enumerate(things):
        x1, y1, x2, y2 = thing.box
        box = (x1 * sample.width, y1 * sample.height, x2 * sample.width, y2 * sample.height)
        kind = "crowd" if thing.crowd else ""
        regions.append(Region(*box, label=thing.label, id=f"human/{number}", score_kind=kind))
    return regions


@dataclass(frozen=True, slots=True)
class Measured:
    """The number of texts of each granularity and of sentences, and the shares of them that are true."""

    texts: tuple[int, int, int]
    briefs_true: float
    sentences: int
    there: float
    true: float

    def row(self, name: str) -> str:
        shares = (f"{100 * share:.1f} %" for share in (self.there, self.true))
        counts = " / ".join(map(str, self.texts))
        return f"| {name} | {counts} | {100 * self.briefs_true:.1f} % | {self.sentences} | {' | '.join(shares)} |"


def measured(samples: Sequence[Sample], things: Sequence[Sequence[Thing]]) -> Measured:
    answers = Composer().annotate(samples)
    texts = [(text, true) for answer, true in zip(answers, things, strict=True) for text in answer.texts]
    briefs = [is_true(text.text, true) for text, true in texts if text.granularity == "brief"]
    sentences = [(part, true) for text, true in texts for part in sentences_of(text.text)]
    there, right = ([test(*pair) for pair in sentences] for test in (is_there, is_true))
    brief, detailed, more = (sum(text.granularity == g for text, _ in texts) for g in GRANULARITIES)
    return Measured((brief, detailed, more), _share(briefs), len(sentences), _share(there), _share(right))


def sentences_of(text: str) -> list[str]:
    return re.split(r"(?<=[.]) (?=[A-Z])", text)


def _share(held: Sequence[bool]) -> float:
    return sum(held) / max(len(held), 1)


def with_regions(samples: Iterable[Sample], regions: Iterable[Sequence[Region]]) -> list[Sample]:
    pairs = zip(samples, regions, strict=True)
    return [Sample(sample.image_id, sample.width, sample.height, regions=list(found)) for sample, found in pairs]


def seen(data: Path, photos: Photos) -> dict[str, list[Answer]]:
    """The answers of each detector of `benchmarks.detectors`, and of the packaged one."""
    packaged = SsdMobilenet()
    packaged.load()
    found = {name: detect(data, name, photos)[0] for name in DETECTORS}
    return {"ssd_mobilenet": packaged.annotate(photos.samples), **found}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with coco/ and weights/")
    data = parser.parse_args().data
    photos = Photos(data / "coco" / "dev")
    things, found = things_of(photos), seen(data, photos)
    print("| boxes | briefs / detailed / more | briefs true | sentences | every object there | all true |")
    print("|---|---|---|---|---|---|")
    people = [drawn_by_people(some, sample) for some, sample in zip(things, photos.samples, strict=True)]
    print(measured(with_regions(photos.samples, people), things).row("of people"))
    for names in (("ssd_mobilenet",), ("ssd_mobilenet", "yolox_nano"), tuple(DETECTORS), tuple(found)):
        fused, _ = agree({name: found[name] for name in names}, photos)
        print(measured(with_regions(photos.samples, fused), things).row(", ".join(names)), flush=True)


if __name__ == "__main__":
    main()
