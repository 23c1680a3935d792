"""Commands that look into a data set: counts, SQL, explanations, pictures; and the list of components."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from pipelines.cli import options
from pipelines.cli.console import FAILED, as_typed, check_choice, guarded, open_dataset, say, write


@guarded
def status(form: options.Format = "table", recipe: options.Recipe = "recipe.yaml", dataset: options.Data = "") -> None:
    """Count images and annotations by outcome; list shards, failures and rates."""
    from pipelines.explore.status import status as count
    from pipelines.explore.status import status_json

    check_choice("format", form, ("table", "json"))
    counts = count(open_dataset(recipe, dataset))
    if form == "json":
        write(status_json(counts))
    else:
        say(str(counts))
    if not counts.balanced:
        raise typer.Exit(FAILED)


@guarded
def query(
    sql: Annotated[str, typer.Argument(help="One statement that reads.")] = "",
    named: Annotated[str, typer.Option(help="Name of a query in docs/queries; 'list' lists them.")] = "",
    schema: Annotated[bool, typer.Option("--schema", help="List the views and columns with their meaning.")] = False,
    form: Annotated[str, typer.Option("--format", help="table, csv or json.")] = "table",
    of: Annotated[str, typer.Option(help="judge/KEY or releases/NAME instead of the current verdicts.")] = "",
    recipe: options.Recipe = "recipe.yaml",
    dataset: options.Data = "",
) -> None:
    """Run read-only SQL (DuckDB) over images, texts, regions and more. --schema lists the views."""
    from pipelines.explore.query_text import query_lines, schema_text

    if schema:
        write(schema_text(form))
        return
    for lines in query_lines(lambda: open_dataset(recipe, dataset), as_typed(sql), named, form, of):
        write(lines)


@guarded
def why(
    image: Annotated[str, typer.Argument(help="An image id, the beginning of one, or a file name.")],
    annotation: Annotated[str, typer.Argument(help="An annotation id, such as objects/3.")] = "",
    depth: Annotated[int, typer.Option(help="Generations of parents to list: 1 lists what it was made from.")] = 1,
    recipe: options.Recipe = "recipe.yaml",
    dataset: options.Data = "",
) -> None:
    """Explain which rule kept or dropped an annotation, and what it was made from."""
    from pipelines.explore.why import why as explain

    say(str(explain(open_dataset(recipe, dataset), as_typed(image), as_typed(annotation) or None, depth=depth)))


@guarded
def show(
    out: Annotated[str, typer.Option("-o", "--out", help="The picture to write.")] = "sheet.png",
    where: Annotated[str, typer.Option(help="A condition on the images view, or a SELECT of image_id.")] = "",
    rule: Annotated[str, typer.Option(help="Images with annotations that this rule dropped.")] = "",
    disagreement: Annotated[
        bool, typer.Option("--disagreement", help="Images on which producers agree least.")
    ] = False,
    at_random: Annotated[bool, typer.Option("--random", help="Draw the images at random.")] = False,
    seed: Annotated[int | None, typer.Option(help="With --random: the same seed draws the same images.")] = None,
    limit: Annotated[int, typer.Option(help="Images at most.")] = 12,
    recipe: options.Recipe = "recipe.yaml",
    dataset: options.Data = "",
) -> None:
    """Draw a contact sheet: images with their kept and dropped annotations."""
    import random
    from pathlib import Path

    from pipelines.drawing import missing_glyphs
    from pipelines.explore.show import save_sheet
    from pipelines.explore.show import show as draw

    drawn = random.randrange(10_000) if at_random and seed is None else seed
    data, condition = open_dataset(recipe, dataset), as_typed(where)
    sheet = draw(data, condition, rule=rule or None, disagreement=disagreement, seed=drawn, limit=limit)
    say(str(save_sheet(sheet, Path(out))))
    if drawn is not None:
        say(f"Drawn with --seed {drawn}: the same seed draws the same images.", err=True)
    if warning := missing_glyphs():
        say(warning, err=True)


@guarded
def report(
    out: Annotated[str, typer.Option("-o", "--out", help="Folder to write; default: report/ in the data set.")] = "",
    compare: Annotated[
        str, typer.Option(help="Show beside it: judge/KEY, releases/NAME, or the folder of another data set.")
    ] = "",
    of: Annotated[str, typer.Option(help="judge/KEY or releases/NAME instead of the current verdicts.")] = "",
    images: Annotated[int, typer.Option(help="Images at most in the gallery; 0: no gallery.")] = 60,
    recipe: options.Recipe = "recipe.yaml",
    dataset: options.Data = "",
) -> None:
    """Write statistics, coverage, the funnel and a gallery as one HTML page."""
    from pipelines.analyse.progress_line import report_line
    from pipelines.analyse.report import report as make

    data = open_dataset(recipe, dataset)
    with report_line() as on_step:
        made = make(data, of=of, compare=as_typed(compare), out=as_typed(out), images=images, on_step=on_step)
    say(str(made))


@guarded
def explore(
    port: Annotated[int, typer.Option(help="Port on this machine; default: a free one.")] = 0,
    of: Annotated[str, typer.Option(help="judge/KEY or releases/NAME instead of the current verdicts.")] = "",
    recipe: options.Recipe = "recipe.yaml",
    dataset: options.Data = "",
) -> None:
    """Serve a page on this machine to look through all images and annotations. Ctrl-C ends it."""
    from pipelines.gallery.serve.explore import serve

    url = open_dataset(recipe, dataset).url

    def on_progress(done: int, total: int) -> None:
        if done < total:
            say(f"Reading: {done} of {total} shards.", err=True)

    def on_ready(address: str) -> None:
        say(f"{address}\nWhoever has this address sees all images, from this machine only. Ctrl-C ends it.")
        sys.stdout.flush()

    serve(url, of=of, port=port, on_ready=on_ready, on_progress=on_progress)


@guarded
def components(
    name: Annotated[str, typer.Argument(help="A specialist or filter, to list its options.")] = "",
    check: Annotated[bool, typer.Option("--check", help="Load each one and time it on a drawn image.")] = False,
) -> None:
    """List the specialists and filters, with their options and defaults."""
    from pipelines.explore.components import components as list_components

    say(str(list_components(name)))
    if check:
        from pipelines.explore.check_components import check_components

        checks = check_components(name)
        say(str(checks))
        if not checks.ok:
            raise typer.Exit(FAILED)
