"""Counts what became of every input and annotation of a data set: as data, and as the text of `engine status`."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping

from engine.reading.accounting import Account, account
from engine.reading.dataset import Dataset
from engine.running.terminal_text import one_line, padded, width
from pipelines.ingest.source_lines import source_lines

_RATE_COLUMN = "items/s a worker"


class Status(Account):
    """An account whose str() is the text that `engine status` prints."""

    def __str__(self) -> str:
        return _status_text(self)


def status(dataset: Dataset) -> Status:
    """Counts all inputs, annotations, shards and failures of a data set.

    Printed, the result is that of `engine status`.
    """
    found = account(dataset)
    return Status(**{field.name: getattr(found, field.name) for field in dataclasses.fields(found)})


def _status_text(found: Account) -> str:
    parts = [_inputs(found), _sources(found), _annotations(found), _shards(found), _failures(found), _last_run(found)]
    return "\n\n".join(part for part in parts if part)


def status_json(found: Account) -> str:
    """The account as JSON. The keys are the fields of `Account`, explained in docs/guide/1-my-own-photos.md."""
    fields = {"balanced": found.balanced, "images_balanced": found.images_balanced, **dataclasses.asdict(found)}
    fields["annotations"] = {
        name: {"given": column.given, "outcomes": dict(column.outcomes), "balanced": column.balanced}
        for name, column in found.annotations.items()
    }
    fields["shards"] = {name: {"done": done, "of": of} for name, (done, of) in found.shards.items()}
    fields["selected"] = {name: {"selected": chosen, "of": of} for name, (chosen, of) in found.selected.items()}
    fields["failures"] = [dict(zip(("component", "reason", "number"), row, strict=True)) for row in found.failures]
    return json.dumps(fields, indent=1, default=str)


def _inputs(found: Account) -> str:
    lines = [f"inputs  {_equation(found.inputs, found.outcomes)}  {_verdict(balanced=found.images_balanced)}"]
    lines += [f"        filtered by {name}: {number}" for name, number in found.filtered_by.items()]
    if found.ungiven:
        lines.append(f"        {found.ungiven:,} of them: no source lists it any more, or its file is gone")
    if set(found.splits) - {"train"}:
        parts = ", ".join(f"{number:,} {split}" for split, number in found.splits.items())
        lines.append(f"        kept: {parts}; only train is released")
    return "\n".join(lines)


def _sources(found: Account) -> str:
    if not found.sources:
        return ""
    return "\n".join(["sources", *(f"  {line}" for line in source_lines(found.sources, quiet=False))])


def _equation(total: int, parts: Mapping[str, int]) -> str:
    return f"{total:,} = " + " + ".join(f"{number:,} {name}" for name, number in parts.items())


def _verdict(*, balanced: bool) -> str:
    return "(adds up)" if balanced else "(DOES NOT ADD UP: please report this)"


def _annotations(found: Account) -> str:
    given = {
        name: column for name, column in found.annotations.items() if column.given or any(column.outcomes.values())
    }
    if not given:
        return "annotations  none yet"
    wide = max(map(len, given)) + 2
    lines = ["annotations"]
    for name, column in given.items():
        outcomes = {key: number for key, number in column.outcomes.items() if number or key == "kept"}
        lines.append(f"  {name:<{wide}}{_equation(column.given, outcomes)}  {_verdict(balanced=column.balanced)}")
    return "\n".join(lines)


def _shards(found: Account) -> str:
    wide = max(map(width, found.shards)) + 2
    lines = [f"{'shards':<{wide + 2}}{'done':>9}{'of':>9}" + (f"{_RATE_COLUMN:>18}" if found.rates else "")]
    for name, (done, total) in found.shards.items():
        rate = f"{found.rates[name]:>18,.1f}" if name in found.rates else ""
        lines.append(f"  {padded(name, wide)}{done:>9,}{total:>9,}{rate}")
    lines += [f"  {name} selected {chosen:,} of {of:,} images" for name, (chosen, of) in found.selected.items()]
    return "\n".join(lines)


def _failures(found: Account) -> str:
    if not found.failures:
        return "failures  none"
    wide = max(width(component) for component, _, _ in found.failures) + 2
    rows = [
        f"  {padded(component, wide)}{one_line(reason):<20}{number:>9,}" for component, reason, number in found.failures
    ]
    return "\n".join(["failures (engine query --named failures_by_reason, engine why)", *rows])


def _last_run(found: Account) -> str:
    run = found.last_run
    if not run:
        return ""
    stage, seconds = run.get("stage", "all"), float(run.get("seconds") or 0)
    text = f"last run  stage {stage}, {seconds:,.1f} s"
    if run.get("release"):
        text += f", release {run['release']}"
    return f"{text}, ended with {run['error']}" if run.get("error") else text
