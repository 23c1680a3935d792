"""The notes that a run prints about a round: confused labels, the gate's decision, and figures before and after."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from engine.records.labels import plain_label
from pipelines.refine.confusion_report import ConfusionReport, recipe_line
from pipelines.refine.round_record import RoundRecord
from refinement.confusion import ConfusedPair, to_hold
from refinement.options import held

_PAIRS = 5  # how many pairs get a line of their own


def round_notes(record: RoundRecord) -> list[str]:
    """Notes on a decision: what changed or why the round was refused, the figures of audit images, and alarms."""
    number = record.round
    changes = ", ".join(f"{count:,} {rule}" for rule, count in record.changes.items()) or "nothing"
    if record.accepted:
        lines = [f"round {number} accepted: {changes}"]
    else:
        lines = [f"round {number} REFUSED, the data set stays as it was: {reason}" for reason in record.reasons]
    if figures := list(_figures(record.measures)):
        lines.append(f"round {number} on audit-fit images, before and after: {', '.join(figures)}")
    return lines + [f"round {number} ALARM: {alarm}" for alarm in record.alarms]


def _figures(measures: Mapping[str, float | None]) -> Iterator[str]:
    """Yields F1 and the figures of texts, before and after, with 95 % intervals.

    Label accuracy is not printed.
    """
    for name, before in measures.items():
        figure = name.removesuffix(" before")
        after = measures.get(f"{figure} after")
        if figure == name or figure.startswith("label accuracy of") or before is None or after is None:
            continue
        low, high = measures.get(f"{figure} change low"), measures.get(f"{figure} change high")
        range_ = "" if low is None or high is None else f" (95 %: {low:+.3f} to {high:+.3f})"
        yield f"{figure} {before:.3f} -> {after:.3f}{range_}"


def confusion_notes(report: ConfusionReport, path: str, hold_labels: Sequence[Sequence[str]]) -> list[str]:
    """Notes on a report. The list is empty if no pair is confused.

    path: the path of the report, without its ending. hold_labels: the pairs that the recipe holds.
    """
    held_already, pairs, prefix = held(hold_labels), report.confused, f"round {report.round} CONFUSED:"
    if not pairs:
        return []
    lines = []
    for pair in pairs[:_PAIRS]:
        who, label = ("people", pair.likely) if report.by == "people" else ("annotators", pair.given)
        end = "; already in refine.hold_labels" if frozenset((pair.given, pair.likely)) in held_already else ""
        lines.append(
            f"{prefix} annotators call {pair.count:,} boxes '{pair.given}' that {report.by} call '{pair.likely}' "
            f"({pair.share:.0%} of all that {who} call '{label}'){end}"
        )
    if (more := len(pairs) - _PAIRS) > 0:
        lines.append(f"{prefix} {more} more pairs by {report.by} are in {path}.json")
    lines.append(f"  example boxes: {path}.png")
    if new := _not_held(pairs, held_already):
        lines.append(f"  to hold such pairs out of relabelling: {recipe_line([*hold_labels, *new])}")
    return lines


def _not_held(pairs: Sequence[ConfusedPair], held_already: frozenset[frozenset[str]]) -> list[list[str]]:
    return [pair for pair in to_hold(pairs) if frozenset(map(plain_label, pair)) not in held_already]
