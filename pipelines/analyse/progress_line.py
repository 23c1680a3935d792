"""The progress line of `engine report`: which query runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from engine.running.progress import LineDrawer


@contextmanager
def report_line() -> Iterator[Callable[[str], None]]:
    """A context with a function that shows the current step. The line is removed at the end."""
    line, steps = LineDrawer(), 0

    def on_step(name: str) -> None:
        nonlocal steps
        steps += 1
        line.draw(lambda: [(0, "report"), (0, f"{steps} {name}")])

    try:
        yield on_step
    finally:
        line.close()
