"""Counts the failures of a component, and decides when there are too many.

An image that is missing, corrupt or no image at all is not a failure of the component.
"""

from __future__ import annotations

from dataclasses import dataclass

from engine.running.messages import Done

# Reasons of failures that are the component's fault.
COMPONENT_FAULTS = frozenset({"raised", "out_of_memory", "bad_answer", "crash", "timeout"})
FEW = 8  # the share is not checked for up to so many failures: in a set of three photos, one may fail


@dataclass(slots=True)
class NodeCount:
    """Counts of one component: items that it got, items that failed, and failures that are its own fault."""

    attempted: int = 0
    unanswered: int = 0
    faults: int = 0
    first: str = ""
    last: str = ""

    def add(self, done: Done) -> None:
        self.attempted += done.attempted
        self.unanswered += done.unanswered
        for _, reason, error in done.failures:
            if reason in COMPONENT_FAULTS:
                self.faults += 1
                self.last = error
            if reason != "skipped":
                self.first = self.first or error


def too_many(name: str, count: NodeCount, max_share: float) -> str:
    """A sentence if the component failed on all images, or on a larger share than `max_share`. Otherwise ''."""
    if count.attempted and count.unanswered == count.attempted:
        return (
            f"{name} failed on all {count.attempted} images it got; the first error: {count.first}: correct it and "
            "run again with --retry-failed"
        )
    if count.faults > FEW and count.faults > max_share * count.attempted:
        return (
            f"{name} failed on {count.faults} of {count.attempted} images, a larger share than run.max_failed_share "
            f"({max_share:g}); the first error: {count.first}: correct it and run again with --retry-failed, or "
            "continue without these images with --set run.max_failed_share=1"
        )
    return ""
