"""Writes annotations as the target text that a model learns. model/pairs/parsing.py has the grammar and parses it.

Regions are in one of two orders: `area` (largest first), as the released checkpoints write them, or `reading` (left to
right), for models trained from scratch. In both orders, phrases follow their caption and printed text starts at the
top.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

from engine.errors import unknown
from engine.records.boxes import Box, area
from model.florence2_tasks import Form
from model.pairs.locations import location_tokens
from model.pairs.parsing import END_POLY, POLY, SEP, label_fault

Order = Literal["area", "reading"]
ORDERS: tuple[Order, ...] = ("area", "reading")


class Item(NamedTuple):
    """One region to write into a target, in pixels of the upright image. Only some forms need `quad` and `polygons`."""

    label: str
    box: Box
    quad: tuple[float, ...] = ()  # x, y of four corners, clockwise from the top left of the text
    polygons: Sequence[Sequence[float]] = ()  # the parts of one outline, each x, y, x, y, ...
    start: int = 0  # offset of its phrase in the caption, the same for all regions of the phrase
    ids: tuple[str, ...] = ()  # ids of the annotations it was made from


def item_fault(form: Form, item: Item) -> str:
    """The reason why a target of this form cannot hold an item; '' if it can."""
    if form == "polygons" or (form == "repeated_boxes" and item.polygons):
        if not item.polygons or any(len(part) < 6 or len(part) % 2 for part in item.polygons):
            return "no_outline"
    elif form == "quads" and len(item.quad) != 8:
        return "no_quad"
    return "" if form in ("boxes", "polygons") else label_fault(item.label)


def in_target_order(form: Form, items: Sequence[Item], order: Order) -> list[Item]:
    """The items in the order of a target. With order `area`, items with the same label stay together, at the place of
    the largest of them.
    """
    if order not in ORDERS:
        raise unknown("order", order, ORDERS)
    if form == "quads":
        return sorted(items, key=_top_first)
    placed = sorted(items, key=_largest_first if order == "area" else _left_first)
    if form == "phrases":
        return sorted(placed, key=lambda item: (item.start, item.label))
    if form == "labelled_boxes" and order == "area":
        first: dict[str, int] = {}
        for number, item in enumerate(placed):
            first.setdefault(item.label, number)
        return sorted(placed, key=lambda item: first[item.label])
    return placed


def write_target(form: Form, items: Sequence[Item], *, width: float, height: float, order: Order) -> str:
    """Writes items in the order given. It does not check them; `item_fault` does."""
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
    """Writes labels and boxes. Consecutive items with the same label share it, unless `repeated` is set."""
    before: tuple[str, int] | None = None
    for item in items:
        if repeated or (item.label, item.start) != before:
            yield item.label
        before = item.label, item.start
        yield _box(item.box, width, height)


def _shape(item: Item, width: float, height: float) -> str:
    if item.polygons:
        return f"{POLY}{_outline(item, width, height)}{END_POLY}"
    return _box(item.box, width, height)


def _outline(item: Item, width: float, height: float) -> str:
    return SEP.join([location_tokens(part, width, height) for part in item.polygons])


@functools.lru_cache(8192)  # up to five tasks write the same box
def _box(box: Box, width: float, height: float) -> str:
    return location_tokens(box, width, height)


def _largest_first(item: Item) -> tuple[float, float, float]:
    return (-area(item.box), item.box[1], item.box[0])


def _left_first(item: Item) -> tuple[float, float, float]:
    x1, y1, x2, _ = item.box
    return (x1 + x2, y1, x1)


def _top_first(item: Item) -> tuple[float, float]:
    return (item.box[1], item.box[0])
