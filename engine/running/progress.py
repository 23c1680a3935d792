"""The progress line of a run, and the counts for its summary.

On a terminal the line is redrawn in place and never wraps. Elsewhere it is written every half minute, as in a log.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TextIO

from engine.running.messages import Done, Unit
from engine.running.terminal_text import columns_of, encodable, is_live, joined, one_line

_REDRAW_S, _LOG_S = 0.2, 30.0
Parts = Sequence[tuple[int, str]]  # rank and text; parts of a high rank are left out first


@dataclass(slots=True)
class NodeTally:
    """Counts of one node in one run."""

    units: int = 0
    expected: int = 0
    items: int = 0  # finished, failures included
    failed: int = 0
    skipped: int = 0  # images on which another node failed before
    seconds: float = 0.0  # spent in workers
    lost_races: int = 0  # units that another run or worker committed first
    notes: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Running:
    """A unit that is not finished.

    After the death of its worker, items may be counted twice, so `done` is at most the total.
    """

    items: int = 0
    total: int = 0

    @property
    def done(self) -> int:
        return min(self.items, self.total)


class LiveLine:
    """Shows the progress of a run as one line: the Watcher of a scheduler.

    `tallies` can still be read after the run.
    """

    def __init__(self, stage: str, shard_size: int, *, stream: TextIO | None = None, live: bool | None = None) -> None:
        self.stage, self.shard_size = stage, shard_size
        self.drawer = LineDrawer(stream, live)
        self.tallies: dict[str, NodeTally] = {}
        self.started = time.monotonic()
        self.pace = Pace()
        self._running: dict[tuple[str, int], _Running] = {}

    def expect(self, node: str, units: int) -> None:
        self.tallies.setdefault(node, NodeTally()).expected += units

    def progressed(self, node: str, shard: int, items: int, total: int) -> None:
        unit = self._running.setdefault((node, shard), _Running())
        unit.items += items
        unit.total = max(unit.total, total)

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
        self._running.pop((node, unit.shard), None)

    def noted(self, node: str, note: str) -> None:
        self.tallies.setdefault(node, NodeTally()).notes.append(note)

    def tick(self, busy: Mapping[str, int], waiting: int) -> None:
        elapsed = time.monotonic() - self.started
        self.pace.at(elapsed, *self._counts())
        self.drawer.draw(lambda: self.parts(busy, waiting))

    def parts(self, busy: Mapping[str, int], waiting: int) -> Parts:
        """The parts of the line now.

        `busy`: {node: number of busy workers}. `waiting`: number of units in the queues.
        """
        done, expected = self._counts()
        nodes = max(sum(tally.expected > 0 for tally in self.tallies.values()), 1)
        failed = sum(tally.failed for tally in self.tallies.values())
        share = min(done / max(expected, 1), 1.0)
        names = " ".join(f"{one_line(name)} x{n}" if n > 1 else one_line(name) for name, n in busy.items() if n)
        return [
            (0, f"{self.stage} {math.floor(100 * share):3d}%"),
            (3, f"{round(done / nodes):,}/{round(expected / nodes):,} images"),
            (2, f"{self.pace.rate / nodes:.1f} images/s"),
            (1, f"failed {failed:,}"),
            (4, f"waiting {waiting}" if waiting else ""),
            (1, f"ETA {clock(self.pace.left)}" if self.pace.left is not None else "ETA --"),
            (5, names or "starting"),
        ]

    def _counts(self) -> tuple[int, int]:
        """(items done, items expected) of all nodes.

        A shard that has not begun is assumed to be as large as the node's others; if it has none, as the largest of
        any node.
        """
        done = expected = 0
        seen = [unit.total for unit in self._running.values()]
        seen += [round(tally.items / tally.units) for tally in self.tallies.values() if tally.units]
        usual = max(seen, default=0) or self.shard_size
        for node, tally in self.tallies.items():
            running = [unit for (name, _), unit in self._running.items() if name == node]
            begun_items = tally.items + sum(unit.total for unit in running)
            begun = tally.units + len(running)
            size = begun_items / begun if begun and begun_items else usual
            done += tally.items + sum(unit.done for unit in running)
            expected += begun_items + round(max(tally.expected - begun, 0) * size)
        return done, expected

    def close(self) -> None:
        self.drawer.close()


class Pace:
    """The smoothed rate in items per second, and the seconds left.

    The clock starts with the first finished item, so that the time to load a model does not count. The rate is measured
    from one batch to the next, because no item is finished between batches.
    """

    def __init__(self) -> None:
        self.rate = 0.0
        self.left: float | None = None
        self._began: float | None = None
        self._last = (0.0, 0)  # time of the latest batch, and number of items done by then
        self._usual = 0.0  # seconds between two batches
        self._now = 0.0

    def at(self, seconds: float, done: int, expected: int) -> None:
        """Add a measurement. Call it often. `seconds`: time since the start. `done`, `expected`: numbers of items."""
        passed, self._now = seconds - self._now, seconds
        if self._began is None:
            if done:
                self._began, self._last = seconds, (seconds, done)
            return
        before, count = self._last
        since = seconds - before
        memory = max(5.0, (seconds - self._began) / 3)
        if done > count and since >= 1.0:
            found = (done - count) / since
            self.rate = found if not self.rate else self.rate + (found - self.rate) * (1 - math.exp(-since / memory))
            self._last, self._usual = (seconds, done), max(since, self._usual / 2)
            self._correct(max(expected - done, 0) / self.rate, since)
        elif since > 10.0 + 2 * self._usual:  # nothing has finished for long, so the rate falls
            self.rate *= math.exp(-passed / memory)
        elif self.left is not None:
            self.left = max(self.left - passed, 0.0)

    def _correct(self, estimate: float, since: float) -> None:
        """Move the seconds left towards a new estimate. `since`: the seconds since the last batch was finished."""
        if self.left is None:
            self.left = estimate
        else:
            self.left += (estimate - self.left) * (1 - math.exp(-since / 10.0))


class LineDrawer:
    """Draws one line, at most five times a second: in place on a terminal, as a new line elsewhere.

    The cursor stays at the start of the line. If the terminal becomes narrower, the line wraps, but the cursor is still
    in its first row. So the next drawing can erase all of its rows.
    """

    def __init__(self, stream: TextIO | None = None, live: bool | None = None) -> None:
        self.stream = stream or sys.stderr
        self.live = is_live(self.stream) if live is None else live
        self._drawn = time.monotonic()
        self._on_screen = False
        self._columns = 0

    def draw(self, parts: Callable[[], Parts]) -> None:
        """Draw the line if it is due. `parts` is called only then."""
        now = time.monotonic()
        if now - self._drawn < (_REDRAW_S if self.live else _LOG_S):
            return
        self._drawn = now
        due = [(rank, encodable(text, self.stream)) for rank, text in parts()]
        if self.live:
            # Leave the last column free: some terminals wrap when it is written.
            self.stream.write(f"\r{self._erase()}{joined(due, columns_of(self.stream) - 1)}\r")
            self._on_screen = True
        else:
            self.stream.write(" | ".join(text for _, text in due if text) + "\n")
        self.stream.flush()

    def close(self) -> None:
        if self._on_screen:
            self.stream.write(f"\r{self._erase()}")
            self.stream.flush()
            self._on_screen = False

    def _erase(self) -> str:
        """The codes that erase the line. Rows below are erased only if the line may have wrapped.

        (tmux would save the screen in its history whenever all of it is erased.)
        """
        before, self._columns = self._columns, columns_of(self.stream)
        return "\x1b[J" if self._columns < before else "\x1b[K"


def clock(seconds: float) -> str:
    """Seconds as text: 45s, 3m20s or 1h05m. From 90 seconds on, they are rounded to a multiple of 5."""
    whole = round(seconds) if seconds < 90 else 5 * round(seconds / 5)
    minutes, second = divmod(whole, 60)
    hours, minute = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minute:02d}m"
    return f"{minute}m{second:02d}s" if minute else f"{second}s"
