"""Counts of the training pairs of a release."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from engine.reading.release_manifest import PairTotals
from model.pairs.pair import Compiled


@dataclass(slots=True)
class PairCounts:
    """Numbers of pairs: proven ones by task, omitted ones by (task, reason), and truncated ones, which lack regions."""

    proven: Counter[str] = field(default_factory=Counter)
    left_out: Counter[tuple[str, str]] = field(default_factory=Counter)
    truncated: int = 0

    def add(self, made: Compiled) -> None:
        self.proven.update(made.proven)
        self.left_out.update(made.left_out)
        self.truncated += sum(pair.truncated for pair in made.pairs)

    def totals(self) -> PairTotals:
        """The counts in the form of commit records and manifests."""
        left_out: dict[str, dict[str, int]] = {}
        for (task, reason), number in sorted(self.left_out.items()):
            left_out.setdefault(task, {})[reason] = number
        return {"proven": dict(sorted(self.proven.items())), "left_out": left_out, "truncated": self.truncated}


def sum_totals(parts: Iterable[PairTotals]) -> PairTotals:
    """The sum of the totals of several shards."""
    total = PairCounts()
    for part in parts:
        total.proven.update(part["proven"])
        for task, reasons in part["left_out"].items():
            total.left_out.update({(task, reason): number for reason, number in reasons.items()})
        total.truncated += part["truncated"]
    return total.totals()
