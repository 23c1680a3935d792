"""The synthetic world: drawn scenes of which everything is known. Weightless, deterministic, endless.

    world://?images=100&size=96&seed=0&min_objects=1&max_objects=3&words=1

A scene depends on (size, seed, min_objects, max_objects, words) and its index, never on `images`: raising that
number adds scenes and leaves the others as they are. Boxes are those of visible pixels, edges exclusive.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode

import numpy as np
import numpy.typing as npt

from engine.errors import ConfigError, unknown
from engine.records import masks
from engine.records.answers import HUMAN
from engine.schema import Answer, Phrase, Region, RegionText, Text
from specialists.synthetic.shapes import CLASSES, GROUNDS, THINGS, WORDS

if TYPE_CHECKING:
    from PIL import Image

Random = np.random.Generator
Mask = npt.NDArray[np.bool_]

_SHARPER = 4  # outlines are drawn this many times larger, then shrunk
_BOUNDS = {"images": (0, 10**9), "size": (48, 2048), "seed": (0, 2**31), "words": (0, 4)}


@dataclass(frozen=True, slots=True)
class WorldOptions:
    """What a world:// URL may say."""

    images: int = 100
    size: int = 96  # side in pixels
    seed: int = 0
    min_objects: int = 1
    max_objects: int = 3
    words: int = 1  # at most so many printed words a scene

    @classmethod
    def parse(cls, url: str) -> WorldOptions:
        if not url.startswith("world:"):
            raise ConfigError(f"'{url}' is no world: expected world://?images=100&seed=0.")
        names = [field.name for field in fields(cls)]
        given: dict[str, int] = {}
        for key, value in parse_qsl(url.removeprefix("world:").lstrip("/?"), keep_blank_values=True):
            if key not in names:
                raise unknown("option of the synthetic world", key, names)
            if not value.isdigit():
                raise ConfigError(f"The synthetic world has {key}={value}: expected a whole number, zero or more.")
            given[key] = int(value)
        return cls(**given)

    def __post_init__(self) -> None:
        for name, (low, high) in (_BOUNDS | {"min_objects": (0, 12), "max_objects": (self.min_objects, 12)}).items():
            if not low <= getattr(self, name) <= high:
                raise ConfigError(f"The synthetic world has {name}={getattr(self, name)}: expected {low} to {high}.")

    @property
    def name(self) -> str:
        """Without the number of images, so that a world that grew is the same source."""
        return "world://?" + urlencode({field.name: getattr(self, field.name) for field in fields(self)[1:]})


@dataclass(frozen=True, slots=True)
class Scene:
    index: int
    data: bytes  # PNG
    truth: Answer  # ids "human/<n>", no scores; masks, phrases and words included


def scenes(url: str) -> Iterator[Scene]:
    options = WorldOptions.parse(url)
    return (scene(index, options) for index in range(options.images))


def scene_uri(index: int, options: WorldOptions) -> str:
    """Names one scene for ever; `specialists.synthetic.world_files` reads it through fsspec."""
    return f"{options.name}&scene={index}"


def scene_at(uri: str) -> Scene:
    """The scene a scene_uri names. FileNotFoundError if it names none."""
    url, found, index = uri.rpartition("&scene=")
    if not found or not index.isdigit():
        raise FileNotFoundError(uri)
    return scene(int(index), WorldOptions.parse(url))


def scene(index: int, options: WorldOptions) -> Scene:
    random = np.random.default_rng([options.seed, index])
    canvas, ground = _ground(random, options.size)
    things = _place_objects(random, options, canvas)
    words = _place_words(random, options, canvas, things)
    file = io.BytesIO()
    canvas.save(file, "PNG", compress_level=6)
    return Scene(index, file.getvalue(), _truth(things, words, ground, options.size))


# --- what there is ------------------------------------------------------------------------------


@dataclass(slots=True)
class _Thing:
    label: str
    box: tuple[float, float, float, float]
    mask: Mask | None = None


def _ground(random: Random, size: int) -> tuple[Image.Image, str]:
    """Dull colours that drift slowly, thin lines, noise: nothing a class has."""
    from PIL import Image, ImageDraw

    name = str(random.choice(list(GROUNDS)))
    coarse = np.clip(random.normal(GROUNDS[name], 11.0, (4, 4, 3)), 60, 190).astype(np.uint8)
    canvas = Image.fromarray(coarse).resize((size, size), Image.Resampling.BICUBIC)
    pen = ImageDraw.Draw(canvas)
    for _ in range(int(random.integers(3, 8))):
        shade = int(random.integers(70, 180))
        ends = [float(value) for value in random.uniform(0, size, 4)]
        pen.line(ends, fill=(shade, shade, shade), width=max(1, size // 96))
    noisy = np.asarray(canvas).astype(np.float32) + random.normal(0, 7.0, (size, size, 3))
    return Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)), name


def _place_objects(random: Random, options: WorldOptions, canvas: Image.Image) -> list[_Thing]:
    """Later objects lie on top; hardly ever, since boxes that overlap by more than .05 are drawn anew."""
    wanted = int(random.integers(options.min_objects, options.max_objects + 1))
    things: list[_Thing] = []
    for _ in range(wanted * 60):
        if len(things) == wanted:
            break
        side = float(random.uniform(0.19, 0.38)) * options.size
        x, y = (float(value) for value in random.uniform(1, options.size - side - 1, 2))
        label = str(random.choice(CLASSES))
        if any(_iou((x, y, x + side, y + side), thing.box) >= 0.05 for thing in things):
            continue
        mask = _paint(random, canvas, label, x, y, side)
        for thing in things:
            assert thing.mask is not None
            thing.mask &= ~mask
        things.append(_Thing(label, (x, y, x + side, y + side), mask))
    for thing in things:
        assert thing.mask is not None
        thing.box = _bounds(thing.mask)
    return things


def _paint(random: Random, canvas: Image.Image, label: str, x: float, y: float, side: float) -> Mask:
    """Draw one object; which pixels are it."""
    from PIL import Image, ImageDraw

    _, colour, draw = THINGS[label]
    size = canvas.size[0]
    stencil = Image.new("L", (math.ceil(side) * _SHARPER, math.ceil(side) * _SHARPER), 0)
    draw(ImageDraw.Draw(stencil), side * _SHARPER - 1)
    alpha = np.zeros((size, size), np.float32)
    left, top = int(x), int(y)
    small = np.asarray(stencil.resize((math.ceil(side), math.ceil(side)), Image.Resampling.BOX), np.float32) / 255
    height, width = (min(small.shape[0], size - top), min(small.shape[1], size - left))
    alpha[top : top + height, left : left + width] = small[:height, :width]
    tint = np.clip(np.array(colour) + random.normal(0, 8.0, 3), 0, 255)
    shaded = tint + random.normal(0, 4.0, (size, size, 1))
    before = np.asarray(canvas).astype(np.float32)
    after = before + (shaded - before) * alpha[:, :, None]
    canvas.paste(Image.fromarray(np.clip(after, 0, 255).astype(np.uint8)))
    return alpha >= 0.5


def _place_words(random: Random, options: WorldOptions, canvas: Image.Image, things: list[_Thing]) -> list[_Thing]:
    """Printed words on plates that touch no object. The box is that of the ink."""
    from PIL import Image, ImageDraw, ImageFont

    words: list[_Thing] = []
    for _ in range(int(random.integers(0, options.words + 1))):
        text = str(random.choice(WORDS))
        font = ImageFont.load_default(max(12, round(options.size * float(random.uniform(0.115, 0.15)))))
        x1, y1, x2, y2 = (round(value) for value in font.getbbox(text))
        width, height = x2 - x1 + 6, y2 - y1 + 6
        free = _free_place(random, options.size, width, height, [thing.box for thing in (*things, *words)])
        if free is None:
            continue
        left, top = free
        dark = bool(random.integers(2))
        ink = Image.new("L", canvas.size, 0)
        ImageDraw.Draw(ink).text((left + 3 - x1, top + 3 - y1), text, fill=255, font=font)
        ImageDraw.Draw(canvas).rectangle(
            (left, top, left + width - 1, top + height - 1), fill=(235,) * 3 if dark else (30,) * 3
        )
        canvas.paste((20,) * 3 if dark else (240,) * 3, mask=ink)
        words.append(_Thing(text, _bounds(np.asarray(ink) >= 128)))
    return words


def _free_place(random: Random, size: int, width: int, height: int, taken: list[Any]) -> tuple[int, int] | None:
    if width >= size or height >= size:
        return None
    for _ in range(60):
        left, top = int(random.integers(0, size - width)), int(random.integers(0, size - height))
        if all(left + width <= x1 or x2 <= left or top + height <= y1 or y2 <= top for x1, y1, x2, y2 in taken):
            return left, top
    return None


def _iou(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    shared = max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


def _bounds(mask: Mask) -> tuple[float, float, float, float]:
    rows, columns = np.nonzero(mask.any(axis=1))[0], np.nonzero(mask.any(axis=0))[0]
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)


# --- what is true of it ---------------------------------------------------------------------------

_NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
_Piece = tuple[str, list[str]]  # words, and the ids of the regions they name


def _truth(things: list[_Thing], words: list[_Thing], ground: str, size: int) -> Answer:
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
    _tell(answer, "brief", _brief(answer))
    _tell(answer, "detailed", _detailed(answer, size))
    _tell(answer, "more_detailed", _more_detailed(answer, ground, size))
    return answer


def _next(answer: Answer) -> str:
    return f"{HUMAN}/{len(answer.regions) + len(answer.region_texts) + len(answer.texts) + len(answer.phrases)}"


def _tell(answer: Answer, granularity: str, pieces: list[_Piece]) -> None:
    """One text of the pieces, capital first, and a phrase for each piece that names regions."""
    text = "".join(words for words, _ in pieces)
    told = Text(text[:1].upper() + text[1:], granularity, id=_next(answer), producer=HUMAN)
    answer.texts.append(told)
    start = 0
    for words, regions in pieces:
        if regions:
            phrase = Phrase(told.id, start, start + len(words), regions, id=_next(answer), producer=HUMAN)
            answer.phrases.append(phrase)
        start += len(words)


def _objects(answer: Answer) -> list[Region]:
    return [region for region in answer.regions if region.kind == "object"]


def _named(region: Region) -> str:
    colour = THINGS[region.label][0]
    return f"{'an' if colour[0] in 'aeiou' else 'a'} {colour} {region.label}"


def _brief(answer: Answer) -> list[_Piece]:
    """What there is, counted."""
    groups: dict[str, list[Region]] = {}
    for region in _objects(answer):
        groups.setdefault(region.label, []).append(region)
    pieces: list[_Piece] = []
    for label, regions in groups.items():
        plural = f"{_NUMBERS[len(regions)]} {THINGS[label][0]} {label}{'es' if label[-1] in 'sx' else 's'}"
        pieces.append((plural if len(regions) > 1 else _named(regions[0]), [region.id for region in regions]))
    return [*_listed(pieces), (".", [])] if pieces else [("an empty ground.", [])]


def _listed(pieces: list[_Piece]) -> list[_Piece]:
    answer: list[_Piece] = []
    for number, piece in enumerate(pieces):
        if number:
            answer.append((" and " if number == len(pieces) - 1 else ", ", []))
        answer.append(piece)
    return answer


def _detailed(answer: Answer, size: int) -> list[_Piece]:
    """What there is, where, and what is written."""
    pieces: list[_Piece] = []
    for region in _objects(answer):
        pieces += [(_named(region), [region.id]), (f" is {_where(region, size)}. ", [])]
    for written in answer.region_texts:
        pieces += [("the word ", []), (f'"{written.text}"', [written.region_id]), (" is printed in the picture. ", [])]
    return _closed(pieces or [("nothing lies on the ground. ", [])])


def _more_detailed(answer: Answer, ground: str, size: int) -> list[_Piece]:
    pieces: list[_Piece] = [(f"a picture of {_NUMBERS[len(_objects(answer))]} object", [])]
    pieces += [("" if len(_objects(answer)) == 1 else "s", []), (f" on a dull {ground} ground. ", [])]
    before: Region | None = None
    for region in _objects(answer):
        share = max(region.x2 - region.x1, region.y2 - region.y1) / size
        height = "large" if share > 0.31 else "small" if share < 0.24 else "medium"
        pieces += [(_named(region), [region.id]), (f" of {height} size lies {_where(region, size)}", [])]
        if before is not None:
            pieces += [(f", {_beside(region, before)} ", []), (f"the {_named(before).split(' ', 1)[1]}", [before.id])]
        pieces.append((". ", []))
        before = region
    for written in answer.region_texts:
        plate = next(region for region in answer.regions if region.id == written.region_id)
        pieces += [
            ("a sign ", []),
            (f"{_where(plate, size)} reads ", []),
            (f'"{written.text}"', [plate.id]),
            (". ", []),
        ]
    return _closed(pieces)


def _closed(pieces: list[_Piece]) -> list[_Piece]:
    """Sentences begin with a capital, and the last one ends without a space."""
    answer: list[_Piece] = []
    begins = True
    for words, regions in pieces:
        if words:
            answer.append((words[:1].upper() + words[1:] if begins else words, regions))
            begins = words.endswith(". ")
    return [*answer[:-1], (answer[-1][0].rstrip(), answer[-1][1])]


def _where(region: Region, size: int) -> str:
    x, y = (region.x1 + region.x2) / 2 / size, (region.y1 + region.y2) / 2 / size
    across = "left" if x < 1 / 3 else "right" if x > 2 / 3 else ""
    down = "top" if y < 1 / 3 else "bottom" if y > 2 / 3 else ""
    if down and across:
        return f"at the {down} {across}"
    return f"at the {down}" if down else f"on the {across}" if across else "in the middle"


def _beside(region: Region, other: Region) -> str:
    right = (region.x1 + region.x2 - other.x1 - other.x2) / 2
    down = (region.y1 + region.y2 - other.y1 - other.y2) / 2
    if abs(right) >= abs(down):
        return "to the right of" if right > 0 else "to the left of"
    return "below" if down > 0 else "above"
