"""What scenes of the synthetic world are made of: ten classes (name, colour, outline), grounds and printed words.

Each class has a shape and a colour that no other class has, so a small model can learn the classes in minutes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import ImageDraw

Draw = Callable[["ImageDraw.ImageDraw", float], None]


def _regular(corners: int, *, inner: float = 1.0, turn: float = -90.0) -> Draw:
    """A function that draws a regular polygon into a square; with `inner` below 1 it draws a star."""

    def draw(pen: ImageDraw.ImageDraw, side: float) -> None:
        count = corners * (1 if inner == 1.0 else 2)
        points = []
        for number in range(count):
            angle = math.radians(turn + 360.0 * number / count)
            reach = side / 2 * (inner if inner != 1.0 and number % 2 else 1.0)
            points.append((side / 2 + reach * math.cos(angle), side / 2 + reach * math.sin(angle)))
        pen.polygon(points, fill=255)

    return draw


def _outline(*points: tuple[float, float]) -> Draw:
    return lambda pen, side: pen.polygon([(x * side, y * side) for x, y in points], fill=255)


def _ball(pen: ImageDraw.ImageDraw, side: float) -> None:
    pen.ellipse((0, 0, side, side), fill=255)


def _ring(pen: ImageDraw.ImageDraw, side: float) -> None:
    pen.ellipse((0, 0, side, side), fill=255)
    pen.ellipse((side * 0.28, side * 0.28, side * 0.72, side * 0.72), fill=0)


def _cross(pen: ImageDraw.ImageDraw, side: float) -> None:
    pen.rectangle((side * 0.34, 0, side * 0.66, side), fill=255)
    pen.rectangle((0, side * 0.34, side, side * 0.66), fill=255)


def _moon(pen: ImageDraw.ImageDraw, side: float) -> None:
    pen.ellipse((0, 0, side, side), fill=255)
    pen.ellipse((side * 0.35, -side * 0.08, side * 1.25, side * 0.82), fill=0)


def _heart(pen: ImageDraw.ImageDraw, side: float) -> None:
    pen.ellipse((0, 0, side * 0.54, side * 0.56), fill=255)
    pen.ellipse((side * 0.46, 0, side, side * 0.56), fill=255)
    pen.polygon([(side * 0.04, side * 0.4), (side * 0.96, side * 0.4), (side * 0.5, side)], fill=255)


# {label: (colour word, colour, drawing function)}
THINGS: dict[str, tuple[str, tuple[int, int, int], Draw]] = {
    "ball": ("red", (214, 32, 38), _ball),
    "ring": ("orange", (250, 140, 10), _ring),
    "star": ("yellow", (252, 226, 30), _regular(5, inner=0.42)),
    "cross": ("green", (20, 150, 50), _cross),
    "arrow": (
        "cyan",
        (20, 205, 225),
        _outline((0, 0.3), (0.5, 0.3), (0.5, 0), (1, 0.5), (0.5, 1), (0.5, 0.7), (0, 0.7)),
    ),
    "box": ("blue", (30, 60, 215), _outline((0, 0), (1, 0), (1, 1), (0, 1))),
    "tent": ("purple", (130, 30, 180), _outline((0.5, 0), (1, 0.95), (0, 0.95))),
    "heart": ("pink", (255, 120, 190), _heart),
    "moon": ("white", (248, 248, 248), _moon),
    "kite": ("black", (16, 16, 16), _outline((0.5, 0), (0.85, 0.38), (0.5, 1), (0.15, 0.38))),
}
CLASSES = tuple(THINGS)
GROUNDS = {"grey": (128, 128, 128), "brown": (140, 112, 88), "green": (108, 132, 104), "blue": (104, 120, 146)}
# fmt: off
WORDS = (
    "OPEN", "SHOP", "TAXI", "EXIT", "CAFE", "STOP", "HOTEL", "PARK", "BANK", "FISH", "BREAD", "MILK", "BOOKS",
    "MUSIC", "LIGHT", "WATER", "NORTH", "SOUTH", "RIVER", "HOUSE", "GREEN", "APPLE", "TRAIN", "PLANE", "CLOCK",
    "PAPER", "STONE", "GLASS", "SUGAR", "LEMON",
)
# fmt: on
