"""What is not in a release, counted by reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from engine.reading.release_manifest import Manifest
from engine.schema import ANNOTATIONS
from pipelines.emit.markdown import code, counted, escape, several, table

_ROWS = 30  # of a table of rules


def left_out(manifest: Manifest) -> str:
    parts = [
        _inputs(manifest),
        _lost(manifest),
        _rules(manifest),
        _formats(manifest),
        _pairs(manifest),
    ]
    found = [part for part in parts if part]
    return "\n\n".join(["## What was left out", *found]) if found else ""


def _inputs(manifest: Manifest) -> str:
    """The inputs of the data set by outcome. Each input has one outcome."""
    account = dict(manifest["accounting"])
    inputs, measure = account.pop("inputs", 0), account.pop("kept_to_measure", 0)
    if not inputs:
        return ""
    note = "Each input of the data set has one outcome."
    if measure:
        note += f" {several(measure, 'kept image is', 'kept images are')} not released, but used only to measure."
    return f"{note}\n\n{counted(('inputs', f'{inputs:,}'), account)}"


def _lost(manifest: Manifest) -> str:
    if not manifest["lost"]:
        return ""
    reasons = Counter(reason for _, reason, *_ in manifest["lost"])
    lost = counted(("reason", "images"), dict(sorted(reasons.items())))
    return (
        f"Images that could not be read when the release was made (`lost` in `manifest.json` has their ids):\n\n{lost}"
    )


def _rules(manifest: Manifest) -> str:
    """What the rules of the filter dropped. An annotation has the first rule that dropped it."""
    dropped = manifest.get("dropped", {})
    rows = [
        (code(rule), name.replace("_", " "), f"{number:,}")
        for name in ("images", *ANNOTATIONS)
        for rule, number in sorted(dropped.get(name, {}).items(), key=lambda item: (-item[1], item[0]))
    ]
    if not rows:
        return ""
    return f"""\
The rules of the filter dropped, in the whole data set:

{table(("rule", "of", "number"), rows)}"""


def _formats(manifest: Manifest) -> str:
    rows = [
        (code(name), escape(reason.replace("_", " ")), f"{number:,}")
        for name, totals in manifest.get("formats", {}).items()
        for reason, number in totals["left_out"].items()
    ]
    if not rows:
        return ""
    return f"""\
Some formats cannot hold every annotation. They lack annotations that the records have:

{table(("format", "reason", "number"), rows)}"""


def _pairs(manifest: Manifest) -> str:
    left: Mapping[str, Mapping[str, int]] = manifest["pairs"]["left_out"]
    rows = [
        (code(task), escape(reason.replace("_", " ")), f"{number:,}")
        for task, reasons in sorted(left.items())
        for reason, number in sorted(reasons.items())
    ]
    if truncated := manifest["pairs"]["truncated"]:
        rows.append(("all tasks", "the pair is there, but cut to the longest allowed target", f"{truncated:,}"))
    if not rows:
        return ""
    return f"Pairs of a prompt and a target that were not made:\n\n{table(('task', 'reason', 'number'), rows)}"
