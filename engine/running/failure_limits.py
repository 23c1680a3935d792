"""When failures of a component are too many: a count for each, and the sentence that ends a run.

An image's own faults (no image, corrupt, gone) never count against a component.
"""

from __future__ import annotations

from dataclasses import dataclass

from engine.running.messages import Done

# Reasons that speak against a component. Files that are no images, or are gone, do not.
COMPONENT_FAULTS = frozenset({"raised", "out_of_memory", "bad_answer", "crash", "timeout"})
FEW = 8  # so many failures do not end a run by their share: of three photos one may fail


@dataclass(slots=True)
class NodeCount:
    """Of one component: the items it answers for, those it gave no answer for, and those that speak against it."""

    asked: int = 0
    refused: int = 0
    faults: int = 0
    first: str = ""
    last: str = ""

    def add(self, done: Done) -> None:
        self.asked += done.asked
        self.refused += done.refused
        for _, reason, error in done.failures:
            if reason in COMPONENT_FAULTS:
                self.faults += 1
                self.last = error
            if reason != "skipped":
                self.first = self.first or error


def too_many(name: str, count: NodeCount, max_share: float) -> str:
    """The sentence on a component that failed on everything, or on more than `max_share`; '' if it did not."""
    if count.asked and count.refused == count.asked:
        return (
            f"{name} failed on all {count.asked} images it looked at; the first said: {count.first}: correct it and "
            "run again with --retry-failed"
        )
    if count.faults > FEW and count.faults > max_share * count.asked:
        return (
            f"{name} failed on {count.faults} of {count.asked} images, a larger share than run.max_failed_share "
            f"({max_share:g}); the first said: {count.first}: correct it and run again with --retry-failed, or go on "
            "without them with --set run.max_failed_share=1"
        )
    return ""
