"""What all commands share: printing, errors and exit codes, the version, and `--debug` at any position.

Names and labels come from untrusted files, so all output goes through `say`, which escapes control characters and
characters that the terminal cannot encode.
"""

from __future__ import annotations

import atexit
import functools
import os
import re
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NoReturn, ParamSpec

import typer
from typer.core import TyperGroup

from engine.running.interrupts import INTERRUPTED, ignore_signals

if TYPE_CHECKING:
    from engine.reading.dataset import Dataset

P = ParamSpec("P")
FAILED, WRONG = 1, 2
DEBUG = "ENGINE_DEBUG"  # an environment variable, read by engine/running/foreign_code.py too


class Commands(TyperGroup):
    """Also accepts --debug after the command: `engine run --debug` means `engine --debug run`.

    An argument that begins with a comment of SQL, "-- ", is no option.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        own, rest = (args[: args.index("--")], args[args.index("--") :]) if "--" in args else (args, [])
        wanted = ["--debug"] if "--debug" in own else []
        own = [f" {word}" if re.match(r"--\s", word) else word for word in own]
        return super().parse_args(ctx, [*wanted, *(word for word in own if word != "--debug"), *rest])


def say(text: str, *, err: bool = False) -> None:
    """Prints text for people. Control characters are escaped, and so are characters that the stream cannot encode."""
    from engine.running.terminal_text import encodable, escaped

    stream = sys.stderr if err else sys.stdout
    typer.echo(encodable(escaped(text), stream), err=err)


def write(text: str) -> None:
    """Prints text for programs, unchanged. On a terminal it is escaped as in `say`."""
    from engine.running.terminal_text import encodable

    if sys.stdout.isatty():
        say(text)
    else:
        typer.echo(encodable(text, sys.stdout))


def as_typed(text: str) -> str:
    """Decodes an argument as UTF-8. In the plain C locale, Python has turned the non-ASCII bytes into surrogates."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def check_choice(kind: str, value: str, choices: Sequence[str]) -> None:
    """Raises ConfigError, with the most similar choice, if `value` is not one of `choices`."""
    from engine.errors import unknown

    if value not in choices:
        raise unknown(kind, value, choices)


def print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"engine {version('fld5b-engine')}")
        raise typer.Exit


def open_dataset(recipe: str, dataset: str) -> Dataset:
    """The data set of the option --dataset, or else of the recipe.

    Warns on stderr if its state is from another recipe.
    """
    from engine.reading.dataset import Dataset

    if dataset:
        return Dataset.open(dataset)
    from pipelines.recipe import load_recipe
    from pipelines.stages.current import made_by_another

    loaded = load_recipe(recipe)
    opened = Dataset.open(loaded.dataset)
    if warning := made_by_another(opened.storage, loaded, recipe):
        say(warning, err=True)
    return opened


def guarded(command: Callable[P, None]) -> Callable[P, None]:
    """Makes a command print an error as one sentence on stderr. The exit code is 1, or 2 for a mistake of the user.

    An error that is not an EngineError is a bug of the engine. The sentence then names the line that raised it.
    """

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        from engine.errors import ConfigError, EngineError

        try:
            command(*args, **kwargs)
        except typer.Exit:
            raise
        except KeyboardInterrupt:
            atexit.register(ignore_signals)  # it then runs before Ray's own exit handler, which was registered earlier
            fail("Interrupted. Finished work is kept; run the same command again to continue.", INTERRUPTED)
        except BrokenPipeError:
            raise typer.Exit(0) from None
        except (EngineError, SystemExit, Exception) as error:  # noqa: BLE001  no traceback reaches the user unasked
            if os.environ.get(DEBUG):
                traceback.print_exc()
            if isinstance(error, EngineError):
                fail(str(error), WRONG if isinstance(error, ConfigError) else FAILED)
            fail(_fault(error), FAILED)

    return run


def _fault(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    line = f" ({os.path.basename(frames[-1].filename)}:{frames[-1].lineno})" if frames else ""
    return (
        f"A fault of the engine: {type(error).__name__}: {error}{line}: please report it, with the output of the same "
        "command with --debug"
    )


def fail(sentence: str, code: int) -> NoReturn:
    """Prints the sentence on one line, with a full stop, and exits.

    Messages of other libraries may have several lines.
    """
    line = re.sub(r"\s*[\r\n]\s*", " ", sentence.strip())
    say(f"engine: {line if line.endswith(('.', '?')) else line + '.'}", err=True)
    raise typer.Exit(code)
