"""What a run says at its end, and what a dry run says instead."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipelines.run import Summary
from pipelines.source_report import source_lines


def render_summary(summary: Summary) -> str:
    """A table of the nodes that worked, what failed, and where the release lies."""
    lines = [f"{summary.dataset}: {summary.shards} shards, {summary.listed} new inputs, {summary.seconds:.1f} s"]
    worked = {name: tally for name, tally in summary.tallies.items() if tally.units}
    if worked:
        lines.append(f"{'node':<24}{'shards':>8}{'items':>10}{'failed':>8}{'skipped':>9}{'items/s':>10}")
        for name, tally in worked.items():
            rate = f"{tally.items / tally.seconds:.1f}" if tally.seconds else "-"
            lines.append(f"{name:<24}{tally.units:>8}{tally.items:>10}{tally.failed:>8}{tally.skipped:>9}{rate:>10}")
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
    if summary.release:
        counts = summary.manifest.get("counts", {})
        lines.append(
            f"release {summary.release}: {counts.get('images', 0)} images, {counts.get('regions', 0)} regions, "
            f"{counts.get('texts', 0)} texts, {counts.get('phrases', 0)} phrases, "
            f"{sum(summary.manifest.get('pairs', {}).get('proven', {}).values())} pairs"
        )
        if lost := summary.manifest.get("lost"):
            lines.append(f"  {len(lost)} images could not be read again and are not in it: {lost[:3]}")
    return "\n".join(lines)


def render_dry_run(rows: Sequence[Mapping[str, Any]]) -> str:
    lines = [f"{'node':<24}{'component':<18}{'to do':>8}{'of':>8}  why"]
    lines += [f"{r['node']:<24}{r['component']:<18}{r['todo']:>8}{r['shards']:>8}  {r['why']}" for r in rows]
    if not any(row["todo"] for row in rows):
        lines.append("Nothing to do.")
    return "\n".join(lines)
