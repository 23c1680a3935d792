"""The command line. Each command parses its arguments, calls one function and prints.

Slow imports are in the commands.
"""

from __future__ import annotations

import os
from typing import Annotated

import typer

from pipelines.cli import explore, make, measure
from pipelines.cli.console import DEBUG, Commands, print_version

app = typer.Typer(
    cls=Commands,
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def engine(
    version: Annotated[
        bool, typer.Option("--version", callback=print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Print tracebacks, and let components print to the terminal.")
    ] = False,
) -> None:
    """Turn images into a training set like Florence-2's: annotate, filter, refine, write shards."""
    if debug:
        os.environ[DEBUG] = "1"


app.command()(make.run)
app.command()(explore.status)
app.command()(explore.query)
app.command()(explore.why)
app.command()(explore.show)
app.command()(explore.explore)
app.command()(explore.report)
app.command()(explore.components)
app.command("eval")(measure.evaluate)
app.command()(make.train)
app.command()(make.remove)
app.command()(measure.verify)
app.command()(measure.check)
