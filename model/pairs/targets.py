"""Annotations as the target a model is taught to write; model/pairs/parsing.py has the grammar and reads it back.

The order of regions is a choice (`area` as the released checkpoints write, `reading` for models trained from scratch),
but for phrases, which follow their text, and printed text, which is read from top to bottom.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

from engine.errors import unknown
from model.pairs.locations import location_tokens
from model.pairs.parsing import END_POLY, POLY, SEP, Box, label_fault
from model.pairs.tasks import Form

Order = Literal["area", "reading"]
ORDERS: tuple[Order, ...] = ("area", "reading")


class Item(NamedTuple):
    """One region to be written, in pixels of the upright image: its box always, its corners or outline where due.

    `at` is the place of a phrase in its caption; items of one phrase share it. `ids` are the annotations it is from.
    """

    label: str
    box: Box
    quad: tuple[float, ...] = ()  # x, y of four corners, clockwise from the text's own top left
    polygons: Sequence[Sequence[float]] = ()  # the parts of one thing, each x, y, x, y, ...
    at: int = 0
    ids: tuple[str, ...] = ()


def item_fault(form: Form, item: Item) -> str:
    """Why a target of this form cannot hold an item; '' if it can."""
    if form == "polygons" or (form == "repeated_boxes" and item.polygons):
        if not item.polygons or any(len(part) < 6 or len(part) % 2 for part in item.polygons):
            return "no_outline"
    elif form == "quads" and len(item.quad) != 8:
        return "no_quad"
    return "" if form in ("boxes", "polygons") else label_fault(item.label)


def in_target_order(form: Form, items: Sequence[Item], order: Order) -> list[Item]:
    """Items in the order of a target. By area, those of one label stand where the first of them does."""
    if order not in ORDERS:
        raise unknown("order", order, ORDERS)
    if form == "quads":
        return sorted(items, key=_from_the_top)
    placed = sorted(items, key=_by_area if order == "area" else _from_the_left)
    if form == "phrases":
        return sorted(placed, key=lambda item: (item.at, item.label))
    if form == "labelled_boxes" and order == "area":
        first: dict[str, int] = {}
        for number, item in enumerate(placed):
            first.setdefault(item.label, number)
        return sorted(placed, key=lambda item: first[item.label])
    return placed


def write_target(form: Form, items: Sequence[Item], *, width: float, height: float, order: Order) -> str:
    """Items as they are given, already in_target_order; nothing is checked."""
    if form == "polygons":
        shapes = [_outline(item, width, height) for item in items]
        return shapes[0] if len(shapes) == 1 else "".join(f"{POLY}{shape}{END_POLY}" for shape in shapes)
    if form == "quads":
        return "".join([item.label + location_tokens(item.quad, width, height) for item in items])
    if form == "boxes":
        return "".join([_box(item.box, width, height) for item in items])
    if form == "repeated_boxes":
        return "".join([item.label + _shape(item, width, height) for item in items])
    return "".join(_labelled(items, width, height, repeated=form == "labelled_boxes" and order == "reading"))


def _labelled(items: Sequence[Item], width: float, height: float, *, repeated: bool) -> Iterator[str]:
    """A label, and the boxes of all items in a row that it is the label of."""
    before: tuple[str, int] | None = None
    for item in items:
        if repeated or (item.label, item.at) != before:
            yield item.label
        before = item.label, item.at
        yield _box(item.box, width, height)


def _shape(item: Item, width: float, height: float) -> str:
    if item.polygons:
        return f"{POLY}{_outline(item, width, height)}{END_POLY}"
    return _box(item.box, width, height)


def _outline(item: Item, width: float, height: float) -> str:
    return SEP.join([location_tokens(part, width, height) for part in item.polygons])


@functools.lru_cache(8192)  # a box is written for five tasks
def _box(box: Box, width: float, height: float) -> str:
    return location_tokens(box, width, height)


def _by_area(item: Item) -> tuple[float, float, float]:
    x1, y1, x2, y2 = item.box
    return (-(x2 - x1) * (y2 - y1), y1, x1)


def _from_the_left(item: Item) -> tuple[float, float, float]:
    x1, y1, x2, _ = item.box
    return (x1 + x2, y1, x1)


def _from_the_top(item: Item) -> tuple[float, float]:
    return (item.box[1], item.box[0])
