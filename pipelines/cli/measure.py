"""Commands that check something: labels (against human labels), a release, a data set."""

from __future__ import annotations

from typing import Annotated

import typer

from pipelines.cli import options
from pipelines.cli.console import FAILED, check_choice, guarded, open_dataset, say


@guarded
def evaluate(
    truth: Annotated[str, typer.Option(help="A COCO json; default: the labels of audit images.")] = "",
    captions: Annotated[str, typer.Option(help="With --truth: a COCO json of captions.")] = "",
    split: Annotated[str, typer.Option(help="audit-test, audit-fit or audit; with --fit audit-fit.")] = "",
    fit: Annotated[bool, typer.Option("--fit", help="Fit a calibration of each detector's scores.")] = False,
    form: options.Format = "table",
    recipe: options.Recipe = "recipe.yaml",
    dataset: options.Data = "",
) -> None:
    """Measure labels against human labels: AP, captions, grounding, calibration."""
    from pipelines.evaluation.calibrate import calibrate
    from pipelines.evaluation.evaluate import evaluate as measure
    from pipelines.evaluation.truth import find_truth

    check_choice("format", form, ("table", "json"))
    data = open_dataset(recipe, dataset)
    found = find_truth(data, truth, captions, split or ("audit-fit" if fit else "audit-test"))
    answer = calibrate(data, found) if fit else measure(data, found)
    say(answer.as_json() if form == "json" else str(answer))


@guarded
def verify(release: Annotated[str, typer.Argument(help="A release folder.")]) -> None:
    """Open a release with the libraries that will read it, check it, and write the proof beside it."""
    from pipelines.emit.proof import write_proof
    from pipelines.emit.verify import verify as check_release

    checks = check_release(release)
    say(str(checks))
    proof = write_proof(release, checks)
    name = "Proof" if checks.ok else "All faults"
    say(f"{name}: {proof}" if proof else "No proof was written, because the folder above the release is read-only.")
    if not checks.ok:
        raise typer.Exit(FAILED)


@guarded
def check(
    repair: Annotated[bool, typer.Option("--repair", help="Repair what is safe to repair; not during a run.")] = False,
    recipe: options.Recipe = "recipe.yaml",
    dataset: options.Data = "",
) -> None:
    """Find what is damaged, missing, swapped, orphaned or stale in a data set, and how to repair it."""
    from pipelines.check.check import CheckLine, check_named, not_sound, render

    line = CheckLine()
    try:
        found = check_named(recipe, dataset, repair=repair, on_progress=line.on_progress)
    finally:
        line.close()
    say(render(found))
    if not found.sound:
        raise not_sound(found, repair=repair)
