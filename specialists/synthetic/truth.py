"""The true labels of a drawn scene: regions with masks, printed words, and three texts with phrases."""

from __future__ import annotations

from engine.records import masks
from engine.records.answers import HUMAN
from engine.schema import Answer, Phrase, Region, RegionText, Text
from specialists.english import article, number, plural
from specialists.synthetic.drawing import Thing
from specialists.synthetic.shapes import THINGS

Piece = tuple[str, list[str]]  # words, and the ids of the regions that they name


def scene_truth(things: list[Thing], words: list[Thing], ground: str, size: int) -> Answer:
    answer = Answer()
    for thing in things:
        assert thing.mask is not None
        region = Region(*thing.box, thing.label, rle=masks.encode(thing.mask), id=_next(answer), producer=HUMAN)
        answer.regions.append(region)
    for word in words:
        x1, y1, x2, y2 = word.box
        region = Region(*word.box, kind="text", quad=[x1, y1, x2, y1, x2, y2, x1, y2], id=_next(answer), producer=HUMAN)
        answer.regions.append(region)
        answer.region_texts.append(RegionText(region.id, word.label, "ocr", id=_next(answer), producer=HUMAN))
    _add_text(answer, "brief", _brief(answer))
    _add_text(answer, "detailed", _detailed(answer, size))
    _add_text(answer, "more_detailed", _more_detailed(answer, ground, size))
    return answer


def _next(answer: Answer) -> str:
    return f"{HUMAN}/{len(answer.regions) + len(answer.region_texts) + len(answer.texts) + len(answer.phrases)}"


def _add_text(answer: Answer, granularity: str, pieces: list[Piece]) -> None:
    """Adds the text made of the pieces, starting with a capital, and a phrase for each piece that names regions."""
    whole = "".join(words for words, _ in pieces)
    text = Text(whole[:1].upper() + whole[1:], granularity, id=_next(answer), producer=HUMAN)
    answer.texts.append(text)
    start = 0
    for words, regions in pieces:
        if regions:
            phrase = Phrase(text.id, start, start + len(words), regions, id=_next(answer), producer=HUMAN)
            answer.phrases.append(phrase)
        start += len(words)


def _objects(answer: Answer) -> list[Region]:
    return [region for region in answer.regions if region.kind == "object"]


def _name(region: Region) -> str:
    colour = THINGS[region.label][0]
    return f"{article(colour)} {colour} {region.label}"


def _brief(answer: Answer) -> list[Piece]:
    """A text that lists the objects, counted by class."""
    groups: dict[str, list[Region]] = {}
    for region in _objects(answer):
        groups.setdefault(region.label, []).append(region)
    pieces: list[Piece] = []
    for label, regions in groups.items():
        several = f"{number(len(regions))} {THINGS[label][0]} {plural(label)}"
        pieces.append((several if len(regions) > 1 else _name(regions[0]), [region.id for region in regions]))
    return [*_joined(pieces), (".", [])] if pieces else [("an empty ground.", [])]


def _joined(pieces: list[Piece]) -> list[Piece]:
    answer: list[Piece] = []
    for index, piece in enumerate(pieces):
        if index:
            answer.append((" and " if index == len(pieces) - 1 else ", ", []))
        answer.append(piece)
    return answer


def _detailed(answer: Answer, size: int) -> list[Piece]:
    """A text with each object and its location, and the printed words."""
    pieces: list[Piece] = []
    for region in _objects(answer):
        pieces += [(_name(region), [region.id]), (f" is {_location(region, size)}. ", [])]
    for written in answer.region_texts:
        pieces += [("the word ", []), (f'"{written.text}"', [written.region_id]), (" is printed in the picture. ", [])]
    return _finished(pieces or [("nothing lies on the ground. ", [])])


def _more_detailed(answer: Answer, ground: str, size: int) -> list[Piece]:
    """A text with the ground, the objects and the printed words. It gives the size and location of each object, and its
    direction from the previous object.
    """
    pieces: list[Piece] = [(f"a picture of {number(len(_objects(answer)))} object", [])]
    pieces += [("" if len(_objects(answer)) == 1 else "s", []), (f" on a dull {ground} ground. ", [])]
    before: Region | None = None
    for region in _objects(answer):
        share = max(region.x2 - region.x1, region.y2 - region.y1) / size
        height = "large" if share > 0.31 else "small" if share < 0.24 else "medium"
        pieces += [(_name(region), [region.id]), (f" of {height} size lies {_location(region, size)}", [])]
        if before is not None:
            pieces += [
                (f", {_direction_from(region, before)} ", []),
                (f"the {_name(before).split(' ', 1)[1]}", [before.id]),
            ]
        pieces.append((". ", []))
        before = region
    for written in answer.region_texts:
        plate = next(region for region in answer.regions if region.id == written.region_id)
        pieces += [
            ("a sign ", []),
            (f"{_location(plate, size)} reads ", []),
            (f'"{written.text}"', [plate.id]),
            (". ", []),
        ]
    return _finished(pieces)


def _finished(pieces: list[Piece]) -> list[Piece]:
    """The pieces, with a capital at the start of each sentence and without a space at the end."""
    answer: list[Piece] = []
    begins = True
    for words, regions in pieces:
        if words:
            answer.append((words[:1].upper() + words[1:] if begins else words, regions))
            begins = words.endswith(". ")
    return [*answer[:-1], (answer[-1][0].rstrip(), answer[-1][1])]


def _location(region: Region, size: int) -> str:
    x, y = (region.x1 + region.x2) / 2 / size, (region.y1 + region.y2) / 2 / size
    across = "left" if x < 1 / 3 else "right" if x > 2 / 3 else ""
    down = "top" if y < 1 / 3 else "bottom" if y > 2 / 3 else ""
    if down and across:
        return f"at the {down} {across}"
    return f"at the {down}" if down else f"on the {across}" if across else "in the middle"


def _direction_from(region: Region, other: Region) -> str:
    right = (region.x1 + region.x2 - other.x1 - other.x2) / 2
    down = (region.y1 + region.y2 - other.y1 - other.y2) / 2
    if abs(right) >= abs(down):
        return "to the right of" if right > 0 else "to the left of"
    return "below" if down > 0 else "above"
