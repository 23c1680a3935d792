"""What each source holds and leaves out, for the end of a run, its record, and `engine status`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from engine.running.terminal_text import shown
from engine.storage.files import Storage
from engine.storage.listings import SourceReport, read_listing
from pipelines.ingest.label_report import LabelReport


def source_report(storage: Storage, labels: LabelReport) -> dict[str, dict[str, Any]]:
    """By source: inputs, missing, gone, left_out {reason: number} and notes, as of the latest listing."""
    answer = {name: report.told() for name, report in read_listing(storage).sources.items()}
    for source, reasons in sorted(labels.left_out.items()):
        left_out = answer.setdefault(source, SourceReport().told())["left_out"]
        for reason, number in reasons.items():
            left_out[reason] = left_out.get(reason, 0) + number
    return answer


def source_lines(sources: Mapping[str, Mapping[str, Any]], *, quiet: bool = True) -> Iterator[str]:
    """A line for each source and each of its notes; if `quiet`, none for a source without anything remarkable."""
    for name, told in sources.items():
        parts = [f"{told['inputs']:,} input{'' if told['inputs'] == 1 else 's'}"]
        parts += [f"{told['missing']:,} of them not there now"] if told["missing"] else []
        parts += [f"{told['gone']:,} that it gave before gone"] if told["gone"] else []
        if told["left_out"]:
            left_out = ", ".join(f"{number:,} x {reason}" for reason, number in told["left_out"].items())
            parts.append(f"left out: {left_out}")
        if not quiet or len(parts) > 1:
            yield shown(f"'{name}': {'; '.join(parts)}")
        yield from (shown(f"  {note}") for note in told["notes"])
