"""Text, outlines and colours of contact sheets. Positions and lengths are in pixels of the sheet."""

from __future__ import annotations

import colorsys
import hashlib
import os
import subprocess
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from engine.running.terminal_text import one_line

if TYPE_CHECKING:
    from PIL import ImageDraw

Point = tuple[float, float]
Colour = tuple[int, int, int]

GAP, LINE = 14, 17  # the space between tiles; the height of a line of text
PAPER, INK, FAINT, RED = (255, 255, 255), (30, 30, 30), (110, 110, 110), (205, 30, 30)
_FONT = 13


def outline(pen: ImageDraw.ImageDraw, corners: Sequence[Point], colour: Colour, *, width: int, dashed: bool) -> None:
    for first, second in zip(corners, [*corners[1:], corners[0]], strict=True):
        for start, end in _dashes(first, second) if dashed else [(first, second)]:
            pen.line((*start, *end), fill=colour, width=width)


def _dashes(first: Point, second: Point, step: float = 6.0) -> list[tuple[Point, Point]]:
    (x1, y1), (x2, y2) = first, second
    pieces = max(1, round(((x2 - x1) ** 2 + (y2 - y1) ** 2) ** 0.5 / step))
    points = [(x1 + (x2 - x1) * n / pieces, y1 + (y2 - y1) * n / pieces) for n in range(pieces + 1)]
    return [(points[n], points[n + 1]) for n in range(0, pieces, 2)]


def colour_of(label: str) -> Colour:
    """The colour of a label, between yellow-green and violet. Red is reserved for annotations that were dropped."""
    number = int(hashlib.sha256(label.encode()).hexdigest()[:8], 16)
    hue = 0.25 + 0.5 * (number % 97) / 97
    red, green, blue = colorsys.hls_to_rgb(hue, 0.28 + 0.1 * (number // 97 % 2), 0.85)
    return round(red * 255), round(green * 255), round(blue * 255)


def fitted(text: str, width: float) -> str:
    """The text on one line. It is cut and ends in "..." if it is wider than `width` pixels."""
    text = one_line(" ".join(text.split())[:200])
    if length(text) <= width:
        return text
    while text and length(text + "...") > width:
        text = text[:-1]
    return text + "..."


def length(text: str) -> float:
    face, spelt = _drawable(text)
    return float(face.getlength(spelt))


def write(pen: ImageDraw.ImageDraw, corner: Point, text: str, colour: Colour) -> None:
    """Draws the text. `corner`: its top left corner."""
    face, spelt = _drawable(text)
    pen.text(corner, spelt, fill=colour, font=face)


# --- fonts ---------------------------------------------------------------------------------------
# Pillow's own font has Latin letters only. Installed fonts are searched when a text has other characters.

_FACES: list[Any] = []  # loaded fonts; loading one takes longer than drawing a tile
_HAS_CHAR: dict[tuple[int, str], bool] = {}  # whether a font (its index in _FACES) has a character
_LACKING: set[str] = set()  # characters that were drawn as codes
_NOT_FOUND: set[int] = set()  # blocks of 256 characters that have a character which no installed font has
_NOWHERE = "\U0010fffe"  # no font has this character: what a font draws for it is its sign for missing characters


def missing_glyphs() -> str:
    """A sentence if some characters were drawn as their codes, otherwise ''."""
    if not _LACKING:
        return ""
    some = " ".join(sorted(_LACKING)[:5])
    return (
        f"No installed font has {some}: drawn as codes. Install one that does, such as Noto Sans CJK, and draw again."
    )


def _drawable(text: str) -> tuple[Any, str]:
    """The font that has most of the characters, and the text in which characters that this font lacks are codes."""
    if not _FACES:
        from PIL import ImageFont

        _FACES.append(ImageFont.load_default(_FONT))
    needed = {char for char in text if not char.isspace()}
    for char in sorted(needed):
        block = ord(char) >> 8
        if (
            block not in _NOT_FOUND
            and not any(_has(face, char) for face in range(len(_FACES)))
            and not _find_face(char)
        ):
            _NOT_FOUND.add(block)  # because searching for thousands of characters one by one would take minutes
    best = _best(needed)
    _LACKING.update(char for char in needed if not _has(best, char))
    spelt = "".join(char if char.isspace() or _has(best, char) else f"\\u{ord(char):04x}" for char in text)
    return _FACES[best], spelt


def _best(needed: set[str]) -> int:
    """The index in _FACES of the font that has most of these characters."""
    return max(range(len(_FACES)), key=lambda face: (sum(_has(face, char) for char in needed), -face))


def _has(face: int, char: str) -> bool:
    if char.isascii():
        return True
    if (face, char) not in _HAS_CHAR:
        drawn, missing = (_FACES[face].getmask(one) for one in (char, _NOWHERE))
        _HAS_CHAR[face, char] = (drawn.size, bytes(drawn)) != (missing.size, bytes(missing))
    return _HAS_CHAR[face, char]


def _find_face(char: str) -> bool:
    """Loads an installed font that has the character. Returns whether there is one."""
    from PIL import ImageFont

    for path in _installed(char):
        try:
            _FACES.append(ImageFont.truetype(path, _FONT))
        except OSError:  # a format that Pillow does not read
            continue
        if _has(len(_FACES) - 1, char):
            return True
        _FACES.pop()
        for key in [key for key in _HAS_CHAR if key[0] == len(_FACES)]:
            del _HAS_CHAR[key]
    return False


def _installed(char: str) -> list[str]:
    """Paths of fonts that may have the character, regular fonts first.

    Without fontconfig: the well-known paths that exist.
    """
    command = ["fc-list", f":charset={ord(char):x}", "--format", "%{file}\t%{style}\n"]
    try:
        listed = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return [path for path in _WELL_KNOWN if os.path.exists(path)]
    rows = sorted({tuple(line.split("\t", 1)) for line in listed.splitlines() if "\t" in line})
    regular = [row[0] for row in rows if "Regular" in row[1] or "Book" in row[1]]
    return [*regular, *(row[0] for row in rows if row[0] not in regular)][:20]


_WELL_KNOWN = (
    "/System/Library/Fonts/PingFang.ttc",
    "/System/Library/Fonts/Hiragino Sans GB.ttc",
    "/Library/Fonts/Arial Unicode.ttf",
    "C:/Windows/Fonts/msyh.ttc",
    "C:/Windows/Fonts/malgun.ttf",
    "/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc",
    "/usr/share/fonts/truetype/wqy/wqy-microhei.ttc",
    "/usr/share/fonts/truetype/droid/DroidSansFallbackFull.ttf",
    "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf",
)
