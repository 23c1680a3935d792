"""What a person reads of a round: whether it was accepted, what it changed, and F1 of audit images before and after."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pipelines.refine.round_record import RoundRecord


def round_notes(record: RoundRecord) -> list[str]:
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
    """F1 and what was measured of texts, each with the interval that other images would give. Labels one by one are
    on record, not here."""
    for name, before in measures.items():
        figure = name.removesuffix(" before")
        after = measures.get(f"{figure} after")
        if figure == name or figure.startswith("label accuracy of") or before is None or after is None:
            continue
        low, high = measures.get(f"{figure} change low"), measures.get(f"{figure} change high")
        range_ = "" if low is None or high is None else f" (95 %: {low:+.3f} to {high:+.3f})"
        yield f"{figure} {before:.3f} -> {after:.3f}{range_}"
