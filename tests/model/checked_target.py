"""Writes targets from items made by hand, with the checks that compiling does for a record."""

from __future__ import annotations

from collections.abc import Sequence

from model.florence2_tasks import task_of
from model.pairs.parsing import text_fault
from model.pairs.targets import Item, Order, in_target_order, item_fault, write_target


def checked_target(
    task: str, items: Sequence[Item] = (), text: str = "", *, width: float, height: float, order: Order = "area"
) -> str:
    """The target of a task, from `text` or `items`. ValueError if a target cannot hold them."""
    form = task_of(task).form
    if form == "text":
        if reason := text_fault(text):
            raise ValueError(f"{task} cannot answer '{text}': {reason}.")
        return text
    for item in items:
        if reason := item_fault(form, item):
            raise ValueError(f"{task} cannot answer '{item.label}' at {item.box}: {reason}.")
    return write_target(form, in_target_order(form, items, order), width=width, height=height, order=order)
