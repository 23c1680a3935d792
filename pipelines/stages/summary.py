"""The text that `engine run` prints at its end, and the table of a dry run."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from engine.running.progress import NodeTally
from engine.running.terminal_text import columns_of
from pipelines.ingest.source_lines import source_lines

if TYPE_CHECKING:
    from engine.reading.release_manifest import Manifest
    from pipelines.stages.dry_run import DryRunRow
    from pipelines.stages.run import Summary


def render_summary(summary: Summary) -> str:
    """A table of the nodes that ran, notes, counts for each source, and the counts of the release."""
    lines = [f"{summary.dataset}: {summary.shards} shards, {summary.listed} new inputs, {summary.seconds:.1f} s"]
    worked = {name: tally for name, tally in summary.tallies.items() if tally.units}
    if worked:
        lines += _table(worked, columns_of(sys.stdout))
    else:
        lines.append("Nothing to annotate or judge: everything is up to date.")
    notes = [f"{name}: {note}" for name, tally in summary.tallies.items() for note in tally.notes]
    lines += [f"  {note}" for note in notes[:20]]
    if len(notes) > 20:
        lines.append(f"  ... and {len(notes) - 20} more notes in runs/")
    lines += source_lines(summary.sources)
    if summary.logs and any(tally.failed for tally in worked.values()):
        lines.append(f"  what components printed, and where they failed: {summary.logs}")
    lines += summary.notes
    if summary.manifest:
        counts = summary.manifest["counts"]
        lines.append(
            f"release {summary.release}: {counts.get('images', 0)} images, {counts.get('regions', 0)} regions, "
            f"{counts.get('texts', 0)} texts, {counts.get('phrases', 0)} phrases, "
            f"{sum(summary.manifest['pairs']['proven'].values())} pairs"
        )
        if lost := summary.manifest["lost"]:
            lines.append(f"  {len(lost)} images could not be read again and are not in it: {lost[:3]}")
        lines += _release_lines(summary.manifest)
    if summary.report:
        lines.append(f"report {summary.report}")
    return "\n".join(lines)


def _release_lines(manifest: Manifest) -> list[str]:
    """What the reader of a release should know: its splits, and what is not in it, by reason."""
    lines = []
    splits, left_out = manifest.get("splits", {}), manifest.get("left_out", {})
    if set(splits) - {"train"}:
        lines.append("  splits: " + ", ".join(f"{name} {number:,}" for name, number in splits.items()))
    if left_out:
        lines.append(f"  kept images left out: {_numbers(left_out)}")
    for name, totals in manifest.get("formats", {}).items():
        if found := totals["left_out"]:
            lines.append(f"  annotations left out of {name}: {_numbers(found)}")
    return lines


def _numbers(counts: Mapping[str, int]) -> str:
    """The sum of the counts, and each of them, the largest first."""
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return f"{sum(counts.values()):,} ({', '.join(f'{number:,} {name}' for name, number in ordered)})"


def _table(tallies: Mapping[str, NodeTally], columns: int) -> list[str]:
    """A line for each node. The last columns are left out if the terminal is too narrow for them."""
    widths = (8, 10, 8, 9, 10)
    rows: list[tuple[str, ...]] = [("node", "shards", "items", "failed", "skipped", "items/s")]
    for name, tally in tallies.items():
        rate = f"{tally.items / tally.seconds:.1f}" if tally.seconds else "-"
        counts = (tally.units, tally.items, tally.failed, tally.skipped)
        rows.append((name, *map(str, counts), rate))
    wide = 24 if columns > 69 else max(len(row[0]) for row in rows)
    fit = [end for end in itertools.accumulate(widths, initial=wide) if end < columns]
    cells = [zip(row[1:], widths[: max(len(fit) - 1, 0)], strict=False) for row in rows]
    return [
        f"{row[0]:<{wide}}" + "".join(f"{cell:>{width}}" for cell, width in found)
        for row, found in zip(rows, cells, strict=True)
    ]


def render_dry_run(rows: Sequence[DryRunRow]) -> str:
    lines = [f"{'node':<24}{'component':<18}{'to do':>8}{'of':>8}  why"]
    lines += [f"{row.node:<24}{row.component:<18}{row.todo:>8}{row.shards:>8}  {row.why}" for row in rows]
    if not any(row.todo for row in rows):
        lines.append("Nothing to do.")
    return "\n".join(lines)
