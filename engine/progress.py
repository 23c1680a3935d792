"""What a person sees while it runs: one live line, and the counts the summary is made of.

On a terminal the line is redrawn; elsewhere it is written every half minute. Nothing else is printed.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TextIO

from engine.units import Done, Unit

_REDRAW_S, _LOG_S = 0.2, 30.0


@dataclass(slots=True)
class NodeTally:
    """Counts of one node in one run. `items` came back, `failed` of them without an answer."""

    units: int = 0
    expected: int = 0
    items: int = 0
    failed: int = 0
    skipped: int = 0
    seconds: float = 0.0  # inside workers
    lost_races: int = 0  # commits another driver or worker made first
    notes: list[str] = field(default_factory=list)


class LiveLine:
    """Watches a scheduler; `tallies` stay after it ends."""

    def __init__(self, stage: str, shard_size: int, *, stream: TextIO | None = None, live: bool | None = None) -> None:
        self.stage, self.shard_size = stage, shard_size
        self.drawer = LineDrawer(stream, live)
        self.tallies: dict[str, NodeTally] = {}
        self.started = time.monotonic()
        self._running: dict[str, int] = {}

    def expect(self, node: str, units: int) -> None:
        self.tallies.setdefault(node, NodeTally()).expected += units

    def progressed(self, node: str, items: int, total: int) -> None:
        self._running[node] = self._running.get(node, 0) + items

    def finished(self, node: str, unit: Unit, done: Done) -> None:
        tally = self.tallies.setdefault(node, NodeTally())
        tally.units += 1
        tally.items += done.items
        skipped = sum(reason == "skipped" for _, reason, _ in done.failures)
        tally.skipped += skipped
        tally.failed += done.failed - skipped
        tally.seconds += done.seconds
        tally.lost_races += not done.committed
        tally.notes += [f"shard {unit.shard}: {note}" for note in done.notes]
        self._running[node] = 0

    def noted(self, node: str, note: str) -> None:
        self.tallies.setdefault(node, NodeTally()).notes.append(note)

    def tick(self, busy: Mapping[str, int], waiting: int) -> None:
        self.drawer.draw(lambda: self.line(busy, waiting, time.monotonic() - self.started))

    def line(self, busy: Mapping[str, int], waiting: int, elapsed: float) -> str:
        nodes = max(len(self.tallies), 1)
        items = sum(tally.items for tally in self.tallies.values()) + sum(self._running.values())
        failed = sum(tally.failed for tally in self.tallies.values())
        units = sum(tally.units for tally in self.tallies.values())
        expected = max(sum(tally.expected for tally in self.tallies.values()), 1)
        size = items / max(units, 1) if units else self.shard_size
        share = min(max(units / expected, items / max(size * expected, 1.0)), 1.0)
        rate = items / nodes / max(elapsed, 1e-6)
        left = clock(elapsed * (1 - share) / share) if share > 0.02 else "--:--"
        who = " ".join(f"{name}x{count}" if count > 1 else name for name, count in busy.items() if count) or "starting"
        return (
            f"{self.stage} {share:4.0%} · {rate:.1f} images/s · done {units}/{expected} units · "
            f"failed {failed} · waiting {waiting} · ETA {left} · {who}"
        )

    def close(self) -> None:
        self.drawer.close()


class LineDrawer:
    """One line, not too often: redrawn in place on a terminal, written anew elsewhere."""

    def __init__(self, stream: TextIO | None = None, live: bool | None = None) -> None:
        self.stream = stream or sys.stderr
        self.live = self.stream.isatty() if live is None else live
        self._drawn = time.monotonic()
        self._width = 0

    def draw(self, line: Callable[[], str]) -> None:
        """`line` is asked for only if it is time."""
        now = time.monotonic()
        if now - self._drawn < (_REDRAW_S if self.live else _LOG_S):
            return
        self._drawn = now
        text = line()
        if self.live:
            self.stream.write("\r" + text.ljust(self._width))
            self._width = len(text)
        else:
            self.stream.write(text + "\n")
        self.stream.flush()

    def close(self) -> None:
        if self.live and self._width:
            self.stream.write("\r" + " " * self._width + "\r")
            self.stream.flush()


def clock(seconds: float) -> str:
    """1:02:03, or 02:03."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02d}:{second:02d}" if hours else f"{minute:02d}:{second:02d}"
