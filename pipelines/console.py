"""What every command shares: how it prints, how it fails, and the version it tells.

What is printed may hold names and labels of strangers: it goes through `say`, which lets none of them command the
terminal and never ends a command for a character that the terminal lacks.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from typing import Any, NoReturn

import typer

FAILED, WRONG, INTERRUPTED = 1, 2, 130


def say(text: str, *, err: bool = False) -> None:
    """For people."""
    from engine.screen import encodable, printable

    stream = sys.stderr if err else sys.stdout
    typer.echo(encodable(printable(text), stream), err=err)


def give(text: str) -> None:
    """For programs: as it is, unless a terminal shows it."""
    from engine.screen import encodable

    if sys.stdout.isatty():
        say(text)
    else:
        typer.echo(encodable(text, sys.stdout))


def typed(text: str) -> str:
    """An argument as it was typed: where the locale is plain C, Python takes what is UTF-8 for single bytes."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def say_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"engine {version('fld5b-engine')}")
        raise typer.Exit


def open_dataset(recipe: str, dataset: str) -> Any:
    """The data set a command reads: the one named, or the recipe's."""
    from engine.dataset import Dataset

    if not dataset:
        from engine.config import load_recipe

        dataset = load_recipe(recipe).dataset
    return Dataset.open(dataset)


def guarded(work: Callable[[], None]) -> None:
    """Errors on purpose are one sentence on stderr and a right exit code."""
    from engine.errors import ConfigError, EngineError

    try:
        work()
    except ConfigError as error:
        fail(str(error), WRONG)
    except EngineError as error:
        fail(str(error), FAILED)
    except KeyboardInterrupt:
        fail("Interrupted. What was committed stays; the same command goes on from there.", INTERRUPTED)
    except BrokenPipeError:
        raise typer.Exit(0) from None


def fail(sentence: str, code: int) -> NoReturn:
    """On one line, with an end: what a foreign library said may have several lines and none."""
    told = re.sub(r"\s*[\r\n]\s*", " ", sentence.strip())
    say(f"engine: {told if told.endswith(('.', '?')) else told + '.'}", err=True)
    raise typer.Exit(code)
