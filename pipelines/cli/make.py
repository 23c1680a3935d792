"""Commands that make something: a data set with its releases, a trained model."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.cli import options
from pipelines.cli.console import FAILED, check_choice, guarded, say

if TYPE_CHECKING:
    from model.training.job import OnProgress, Progress
    from pipelines.recipe import Recipe

Runner = Annotated[
    str,
    typer.Option(
        help="local: worker processes of this machine; ray: a Ray cluster; inline: in this process, for a debugger; "
        "auto: ray with an address or a GPU, else local."
    ),
]


@guarded
def run(
    recipe: options.Recipe = "recipe.yaml",
    stage: Annotated[str, typer.Option(help="ingest, annotate, filter, refine, emit or analyse; default: all.")] = "",
    settings: options.Settings = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only list what is to do; with --stage filter: what would change.")
    ] = False,
    probe: Annotated[int, typer.Option(help="With --dry-run: time each specialist on this many images.")] = 0,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Try failed images again.")] = False,
    runner: Runner = "auto",
    address: options.Address = "",
) -> None:
    """Run the stages that are not up to date: ingest, annotate, filter, refine, emit. Repeat it to continue a run.

    The stage analyse writes the report; it runs on its own, or at the end of each run with analyse.every_run.
    """
    from engine.running.backends.choice import RUNNERS
    from pipelines.recipe import load_recipe
    from pipelines.stages.run import STAGES

    if stage:
        check_choice("stage", stage, STAGES)
    check_choice("runner", runner, RUNNERS)
    loaded = load_recipe(recipe, settings or [])
    if not dry_run:
        _run(loaded, stage, runner, address, retry_failed=retry_failed)
    elif stage == "filter":
        _print_what_if(loaded)
    else:
        _print_dry_run(loaded, stage, probe, retry_failed=retry_failed)


def _run(recipe: Recipe, stage: str, runner: str, address: str, *, retry_failed: bool) -> None:
    from engine.running.progress import LiveLine
    from pipelines.stages import run as stages

    summary = stages.Summary(recipe.dataset)
    try:
        stages.run(
            recipe,
            stage=stage or None,
            runner=runner,
            address=address or None,
            retry_failed=retry_failed,
            live_line=lambda name: LiveLine(name, recipe.ingest.shard_size),
            on_training=_training_line,
            on_note=lambda sentence: say(sentence, err=True),
            command=" ".join(["engine", *sys.argv[1:]]),
            summary=summary,
        )
    except BaseException:
        if any(tally.failed or tally.notes for tally in summary.tallies.values()):
            say(str(summary))
        raise
    say(str(summary))
    if summary.release:
        say(f"To check it: engine verify {summary.dataset}/{summary.release}")


def _training_line(name: str) -> OnProgress:
    """A live line for one training. It is removed after the last step."""
    from pipelines.training.progress_line import TrainingLine

    line = TrainingLine(name)

    def on_progress(progress: Progress) -> None:
        line.show(progress)
        if progress.step == progress.steps:
            line.close()

    return on_progress


def _print_what_if(recipe: Recipe) -> None:
    from pipelines.stages.what_if import what_if

    say(str(what_if(recipe)))


def _print_dry_run(recipe: Recipe, stage: str, probe: int, *, retry_failed: bool) -> None:
    from pipelines.stages.dry_run import dry_run

    say(str(dry_run(recipe, stage=stage or None, retry_failed=retry_failed)))
    if probe:
        from pipelines.explore.time_nodes import time_nodes

        say(str(time_nodes(recipe, probe)))


@guarded
def remove(
    ids_file: Annotated[str, typer.Argument(help="A text file: one image id, sha256, URI or end of a URI a line.")],
    recipe: options.Recipe = "recipe.yaml",
    settings: options.Settings = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list what would be removed.")] = False,
    releases: Annotated[bool, typer.Option("--releases", help="Delete the releases that hold the images too.")] = False,
) -> None:
    """Take images out of a data set for good, with all that was made from them; list models that saw them."""
    from pipelines.recipe import load_recipe
    from pipelines.removal.remove import remove as take_out

    removal = take_out(load_recipe(recipe, settings or []), ids_file, dry_run=dry_run, releases=releases)
    say(str(removal))
    if not removal.ok:
        raise typer.Exit(FAILED)


@guarded
def train(
    recipe: options.Recipe = "recipe.yaml",
    settings: options.Settings = None,
    runner: Annotated[
        str,
        typer.Option(help="ray: Ray Train; local: this process; auto: ray with several workers, an address or a GPU."),
    ] = "auto",
    address: options.Address = "",
) -> None:
    """Train Florence-2 on a release. Repeat it to continue from the newest checkpoint."""
    from engine.running.backends.choice import RUNNERS
    from pipelines.recipe import load_recipe
    from pipelines.training.progress_line import TrainingLine
    from pipelines.training.train import train as fit

    check_choice("runner", runner, RUNNERS)
    loaded = load_recipe(recipe, settings or [])
    line = TrainingLine()
    try:
        result = fit(loaded, runner=runner, address=address or None, on_progress=line.show)
    finally:
        line.close()
    say(str(result))
