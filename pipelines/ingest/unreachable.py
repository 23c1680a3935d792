"""Inputs that could not be read for a reason that may pass, for example a host that is down or a missing permission."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from engine.running.graph import Node
from engine.storage.commits import Commits, TableReader
from engine.storage.files import Storage
from engine.storage.open_uri import NO_PERMISSION


@dataclass(frozen=True, slots=True)
class Unreachable:
    """Inputs that could not be read for a reason that may pass.

    `retry`: chunks of inputs that the next run reads again, even without --retry-failed. `reasons`: for each reason,
    the number of inputs over all chunks.
    """

    retry: frozenset[int]
    reasons: Counter[str]

    @property
    def notes(self) -> list[str]:
        """One sentence for the user, or none."""
        if not self.reasons:
            return []
        reasons = ", ".join(f"{number} {reason}" for reason, number in self.reasons.items())
        advice = "the same command tries again" if self.retry else "try again with --retry-failed"
        inputs = "1 input" if self.reasons.total() == 1 else f"{self.reasons.total():,} inputs"
        return [f"{inputs} could not be read now ({reasons}): {advice}."]


def find_unreachable(storage: Storage, probe: Node, attempts: int) -> Unreachable:
    """The inputs that could not be read for a reason that may pass, from the failures of the probe.

    `attempts`: how often an input is read without --retry-failed. The number is limited, so that a host that stays down
    does not slow down every run.
    """
    commits, chunks, reasons = Commits(storage, probe.folder), set[int](), Counter[str]()
    for chunk, revision in enumerate(map(int, commits.revisions())):
        if revision < 0 or not (record := commits.record(chunk, revision)).failures:
            continue
        table = TableReader(storage, record.files["data"].path, ["failures"]).read()
        failures = (failure for row in table["failures"].to_pylist() for failure in row)
        passing = Counter(
            failure["reason"]
            for failure in failures
            if failure["reason"] == "unreachable" or failure["error"].startswith(NO_PERMISSION)
        )
        reasons += passing
        if passing and revision < attempts - 1:
            chunks.add(chunk)
    return Unreachable(frozenset(chunks), reasons)
