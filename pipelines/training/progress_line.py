"""The progress line of a training."""

from __future__ import annotations

import time
from typing import TextIO

from engine.running.progress import LineDrawer, Pace, Parts, clock
from model.training.job import Progress


class TrainingLine:
    """The line. It is redrawn on a terminal; elsewhere, a new line is written every half minute."""

    def __init__(self, name: str = "train", *, stream: TextIO | None = None, live: bool | None = None) -> None:
        self.name = name
        self.drawer = LineDrawer(stream, live)
        self.pace = Pace()
        self._first: tuple[float, int] | None = None  # time and step of the first report

    def show(self, progress: Progress) -> None:
        now = time.monotonic()
        self._first = self._first or (now, progress.step)
        began, step = self._first
        self.pace.at(now - began, progress.step - step, progress.steps - step)
        self.drawer.draw(lambda: self.parts(progress))

    def parts(self, progress: Progress) -> Parts:
        step, steps = progress.step, progress.steps
        return [
            (0, f"{self.name} {100 * step // steps:3d}%"),
            (3, f"step {step:,}/{steps:,}"),
            (2, f"{self.pace.rate * progress.samples:.0f} samples/s"),
            (1, f"loss {progress.loss:.3f}"),
            (1, f"ETA {clock(self.pace.left)}" if self.pace.left is not None else "ETA --"),
        ]

    def close(self) -> None:
        self.drawer.close()
