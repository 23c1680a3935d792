"""The command line. A command parses, calls one function and prints; heavy imports happen inside it."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipelines.cli.console import DEBUG, FAILED, Commands, give, guarded, open_dataset, say, say_version, typed

if TYPE_CHECKING:
    from model.training.job import OnProgress, Progress

app = typer.Typer(
    cls=Commands,
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

RecipeOption = Annotated[str, typer.Option("-c", "--recipe", help="The recipe, a YAML file.")]
DatasetOption = Annotated[str, typer.Option("-d", "--dataset", help="The data set; default: the recipe's.")]
FormOption = Annotated[str, typer.Option("--format", help="table or json.")]
SetOption = Annotated[list[str] | None, typer.Option("--set", help="Change a recipe key: a.b=c (again for more).")]


@app.callback()
def engine(
    version: Annotated[
        bool, typer.Option("--version", callback=say_version, is_eager=True, help="Print the version and exit.")
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Print tracebacks; what components print is not caught.")
    ] = False,
) -> None:
    """Images in, three kinds of annotation made, judged and improved, trainable shards out."""
    if debug:
        os.environ[DEBUG] = "1"


@app.command()
def run(
    recipe: RecipeOption = "recipe.yaml",
    stage: Annotated[str, typer.Option(help="One of ingest, annotate, filter, refine, emit; default: all.")] = "",
    settings: SetOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done; with --stage filter: what flips.")
    ] = False,
    probe: Annotated[int, typer.Option(help="With --dry-run: time each specialist on so many images.")] = 0,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Look again at committed failures.")] = False,
    runner: Annotated[str, typer.Option(help="ray, or local: this process, unprotected from crashes.")] = "ray",
    address: Annotated[str, typer.Option(help="A Ray cluster to join; default: a private one here.")] = "",
) -> None:
    """Do what is not done yet: ingest, annotate, filter, refine, emit. The same command again goes on."""
    guarded(lambda: _run(recipe, stage, settings or [], dry_run, probe, retry_failed, runner, address))


def _run(
    path: str, stage: str, settings: list[str], dry: bool, probe: int, retry: bool, runner: str, address: str
) -> None:
    from engine.errors import unknown
    from engine.running.progress import LiveLine
    from pipelines.recipe import load_recipe
    from pipelines.stages import run as stages

    if stage and stage not in stages.STAGES:
        raise unknown("stage", stage, stages.STAGES)
    if runner not in ("ray", "local"):
        raise unknown("runner", runner, ["ray", "local"])
    recipe = load_recipe(path, settings)
    if dry:
        _print_dry_run(recipe, stage, probe, retry)
        return
    from pipelines.stages.summary import render_summary

    summary = stages.Summary(recipe.dataset)
    try:
        stages.run(
            recipe,
            stage=stage or None,
            runner=runner,
            address=address or None,
            retry_failed=retry,
            watch=lambda name: LiveLine(name, recipe.ingest.shard_size),
            hear=_hear,
            tell=lambda sentence: say(sentence, err=True),
            command=" ".join(["engine", *sys.argv[1:]]),
            summary=summary,
        )
    except BaseException:
        if any(tally.failed or tally.notes for tally in summary.tallies.values()):
            say(render_summary(summary))
        raise
    say(render_summary(summary))


def _hear(name: str) -> OnProgress:
    """The live line of one training; it gives way when the last step is done."""
    from pipelines.training.train import TrainingLine

    line = TrainingLine(name)

    def say(progress: Progress) -> None:
        line.say(progress)
        if progress.step == progress.steps:
            line.close()

    return say


def _print_dry_run(recipe: Any, stage: str, probe: int, retry: bool) -> None:
    from pipelines.stages.dry_run import dry_run
    from pipelines.stages.summary import render_dry_run

    if stage == "filter":
        from pipelines.stages.what_if import what_if
        from pipelines.stages.what_if_text import render_what_if

        say(render_what_if(what_if(recipe)))
        return
    say(render_dry_run(dry_run(recipe, stage=stage or None, retry_failed=retry)))
    if probe:
        from pipelines.explore.time_nodes import time_nodes

        say(str(time_nodes(recipe, probe)))


@app.command()
def status(form: FormOption = "table", recipe: RecipeOption = "recipe.yaml", dataset: DatasetOption = "") -> None:
    """Where every image and every annotation ended; shards, failures, rates."""

    def work() -> None:
        from engine.errors import unknown
        from pipelines.explore.status import status as count
        from pipelines.explore.status import status_json

        if form not in ("table", "json"):
            raise unknown("format", form, ("table", "json"))
        found = count(open_dataset(recipe, dataset))
        give(status_json(found)) if form == "json" else say(str(found))
        if not found.balanced:
            raise typer.Exit(FAILED)

    guarded(work)


@app.command()
def query(
    sql: Annotated[str, typer.Argument(help="One statement that reads.")] = "",
    named: Annotated[str, typer.Option(help="A query of docs/queries by name; 'list' names them.")] = "",
    schema: Annotated[bool, typer.Option("--schema", help="The views and columns, and what they mean.")] = False,
    form: Annotated[str, typer.Option("--format", help="table, csv or json.")] = "table",
    of: Annotated[str, typer.Option(help="judge/KEY or releases/NAME instead of the current verdicts.")] = "",
    recipe: RecipeOption = "recipe.yaml",
    dataset: DatasetOption = "",
) -> None:
    """DuckDB, read-only, over views: images texts regions region_texts phrases tags parse failures inputs runs ..."""

    def work() -> None:
        from pipelines.explore.query_text import query_lines, schema_text

        if schema:
            give(schema_text(form))
            return
        for lines in query_lines(lambda: open_dataset(recipe, dataset), typed(sql), named, form, of):
            give(lines)

    guarded(work)


@app.command()
def why(
    image: Annotated[str, typer.Argument(help="An image id, the beginning of one, or a file name.")],
    annotation: Annotated[str, typer.Argument(help="An annotation id, such as objects/3.")] = "",
    depth: Annotated[int, typer.Option(help="How far back: 1, what it was made from; 2, what that was made from.")] = 1,
    recipe: RecipeOption = "recipe.yaml",
    dataset: DatasetOption = "",
) -> None:
    """Which rule kept or dropped an annotation, who proposed it, from what, merged with what."""

    def work() -> None:
        from pipelines.explore.why import why as explain

        say(str(explain(open_dataset(recipe, dataset), typed(image), typed(annotation) or None, depth=depth)))

    guarded(work)


@app.command()
def show(
    out: Annotated[str, typer.Option("-o", "--out", help="The picture to write.")] = "sheet.png",
    where: Annotated[str, typer.Option(help="A condition on the images view, or a SELECT of image_id.")] = "",
    rule: Annotated[str, typer.Option(help="Images with annotations this rule dropped.")] = "",
    disagreement: Annotated[
        bool, typer.Option("--disagreement", help="Images on which producers agree least.")
    ] = False,
    at_random: Annotated[bool, typer.Option("--random", help="Drawn at random from those that fit.")] = False,
    seed: Annotated[int | None, typer.Option(help="With --random: the same seed draws the same images.")] = None,
    limit: Annotated[int, typer.Option(help="Images at most.")] = 12,
    recipe: RecipeOption = "recipe.yaml",
    dataset: DatasetOption = "",
) -> None:
    """A contact sheet: images with what was found on them, kept and dropped."""

    def work() -> None:
        import random
        from pathlib import Path

        from pipelines.drawing import missing_glyphs
        from pipelines.explore.show import save_sheet
        from pipelines.explore.show import show as draw

        chance = random.randrange(10_000) if at_random and seed is None else seed
        data, condition = open_dataset(recipe, dataset), typed(where)
        sheet = draw(data, condition, rule=rule or None, disagreement=disagreement, seed=chance, limit=limit)
        say(str(save_sheet(sheet, Path(out))))
        if chance is not None:
            say(f"Drawn with --seed {chance}: the same seed draws the same images.", err=True)
        if lacking := missing_glyphs():
            say(lacking, err=True)

    guarded(work)


@app.command()
def components(
    name: Annotated[str, typer.Argument(help="One component or filter, with its options.")] = "",
    check: Annotated[bool, typer.Option("--check", help="Load each and time it on a drawn image.")] = False,
) -> None:
    """What a recipe may name: specialists and filters, their options and defaults."""

    def work() -> None:
        from pipelines.explore.components import components as list_components

        say(str(list_components(name)))
        if check:
            from pipelines.explore.check_components import check_components

            checks = check_components(name)
            say(str(checks))
            if not checks.ok:
                raise typer.Exit(FAILED)

    guarded(work)


@app.command("eval")
def evaluate(
    truth: Annotated[str, typer.Option(help="A COCO json; default: the labels of audit images.")] = "",
    captions: Annotated[str, typer.Option(help="With --truth: a COCO json of captions.")] = "",
    split: Annotated[str, typer.Option(help="audit-test, audit-fit or audit; with --fit audit-fit.")] = "",
    fit: Annotated[bool, typer.Option("--fit", help="Fit a calibration of each detector's scores.")] = False,
    form: FormOption = "table",
    recipe: RecipeOption = "recipe.yaml",
    dataset: DatasetOption = "",
) -> None:
    """How good the labels are: AP, captions, words, grounding, calibration, against what people said."""

    def work() -> None:
        from engine.errors import unknown
        from pipelines.evaluation.calibrate import fit as fit_calibration
        from pipelines.evaluation.calibrate import render_fit
        from pipelines.evaluation.evaluate import evaluate as measure
        from pipelines.evaluation.figures import render
        from pipelines.evaluation.truth import find_truth

        if form not in ("table", "json"):
            raise unknown("format", form, ("table", "json"))
        data = open_dataset(recipe, dataset)
        found = find_truth(data, truth, captions, split or ("audit-fit" if fit else "audit-test"))
        if fit:
            say(render_fit(fit_calibration(data, found), found, form))
            return
        answer = measure(data, found)
        say(answer.as_json() if form == "json" else render(answer))

    guarded(work)


@app.command()
def train(
    recipe: RecipeOption = "recipe.yaml",
    settings: SetOption = None,
    runner: Annotated[str, typer.Option(help="ray, or local: this process, one worker.")] = "ray",
    address: Annotated[str, typer.Option(help="A Ray cluster to join; default: a private one here.")] = "",
) -> None:
    """Train Florence-2 on a release. The same command again goes on from the newest checkpoint."""

    def work() -> None:
        from engine.errors import unknown
        from pipelines.recipe import load_recipe
        from pipelines.training.train import TrainingLine, render
        from pipelines.training.train import train as fit

        if runner not in ("ray", "local"):
            raise unknown("runner", runner, ["ray", "local"])
        chosen = load_recipe(recipe, settings or [])
        line = TrainingLine()
        try:
            result = fit(chosen, runner=runner, address=address or None, say=line.say)
        finally:
            line.close()
        say(render(result, chosen.dataset))

    guarded(work)


@app.command()
def verify(release: Annotated[str, typer.Argument(help="A release folder.")]) -> None:
    """Open a release with webdataset, pyarrow and datasets, and check every promise it makes."""

    def work() -> None:
        from pipelines.emit.verifiers.check import render_checks
        from pipelines.emit.verify import verify as check

        checks = check(release)
        say(render_checks(checks))
        if not all(item.ok for item in checks):
            raise typer.Exit(FAILED)

    guarded(work)


@app.command()
def check(
    repair: Annotated[bool, typer.Option("--repair", help="Do what is safe; not while a run is under way.")] = False,
    recipe: RecipeOption = "recipe.yaml",
    dataset: DatasetOption = "",
) -> None:
    """Read everything a data set holds: what is damaged, missing, swapped, orphaned or stale, and what to do."""

    def work() -> None:
        from pipelines.check.check import CheckLine, check_named, not_sound, render

        line = CheckLine()
        try:
            found = check_named(recipe, dataset, repair=repair, watch=line.watch)
        finally:
            line.close()
        say(render(found))
        if not found.sound:
            raise not_sound(found, repair=repair)

    guarded(work)


if __name__ == "__main__":
    app()
