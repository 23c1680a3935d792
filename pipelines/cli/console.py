"""What every command shares: how it prints, how it fails, the version it tells, and `--debug` wherever it is written.

What is printed may hold names and labels of strangers: it goes through `say`, which lets none of them command the
terminal and never ends a command for a character that the terminal lacks.
"""

from __future__ import annotations

import atexit
import os
import re
import sys
import traceback
from collections.abc import Callable
from typing import Any, NoReturn

import typer
from typer.core import TyperGroup

from engine.running.interrupts import INTERRUPTED, ignore_signals

FAILED, WRONG = 1, 2
DEBUG = "ENGINE_DEBUG"  # an environment variable, read by engine/running/foreign_code.py too


class Commands(TyperGroup):
    """`engine run --debug` is `engine --debug run`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        own, rest = (args[: args.index("--")], args[args.index("--") :]) if "--" in args else (args, [])
        wanted = ["--debug"] if "--debug" in own else []
        return super().parse_args(ctx, [*wanted, *(word for word in own if word != "--debug"), *rest])


def say(text: str, *, err: bool = False) -> None:
    """For people."""
    from engine.running.terminal_text import encodable, printable

    stream = sys.stderr if err else sys.stdout
    typer.echo(encodable(printable(text), stream), err=err)


def give(text: str) -> None:
    """For programs: as it is, unless a terminal shows it."""
    from engine.running.terminal_text import encodable

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
    """The data set a command reads: the one named, or the recipe's; stderr tells if another recipe made its state."""
    from engine.reading.dataset import Dataset

    if dataset:
        return Dataset.open(dataset)
    from pipelines.recipe import load_recipe
    from pipelines.stages.current import made_by_another

    chosen = load_recipe(recipe)
    opened = Dataset.open(chosen.dataset)
    if told := made_by_another(opened.storage, chosen, recipe):
        say(told, err=True)
    return opened


def guarded(work: Callable[[], None]) -> None:
    """Errors on purpose are one sentence on stderr and a right exit code; any other says where it was raised."""
    from engine.errors import ConfigError, EngineError

    try:
        work()
    except typer.Exit:
        raise
    except KeyboardInterrupt:
        atexit.register(ignore_signals)  # before what ends Ray's processes, which was registered earlier
        fail("Interrupted. What was committed stays; the same command goes on from there.", INTERRUPTED)
    except BrokenPipeError:
        raise typer.Exit(0) from None
    except (EngineError, SystemExit, Exception) as error:  # noqa: BLE001  no traceback reaches the user unasked
        if os.environ.get(DEBUG):
            traceback.print_exc()
        if isinstance(error, EngineError):
            fail(str(error), WRONG if isinstance(error, ConfigError) else FAILED)
        fail(_fault(error), FAILED)


def _fault(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({os.path.basename(frames[-1].filename)}:{frames[-1].lineno})" if frames else ""
    return (
        f"A fault of the engine: {type(error).__name__}: {error}{place}: please report it, with what the same command "
        "prints with --debug"
    )


def fail(sentence: str, code: int) -> NoReturn:
    """On one line, with an end: what a foreign library said may have several lines and none."""
    told = re.sub(r"\s*[\r\n]\s*", " ", sentence.strip())
    say(f"engine: {told if told.endswith(('.', '?')) else told + '.'}", err=True)
    raise typer.Exit(code)
