"""The program `engine`. It starts the process for workers first, which imports the engine while this process does."""

from __future__ import annotations

import atexit
import gc
import sys
from collections.abc import Sequence

from engine.running.backends.fork_start import start_early

# Between two collections of garbage, in new objects. With Python's 700, a tenth of the time for imports goes into them.
_COLLECT_AFTER = 50_000


def main() -> None:
    gc.set_threshold(_COLLECT_AFTER)
    atexit.register(gc.freeze)  # runs after nearly all others: Python then ends without a search for garbage
    _start_early(sys.argv[1:])
    from pipelines.cli.commands import app

    app()


def _start_early(arguments: Sequence[str]) -> None:
    """Start the process for workers if the command is a run. Mistakes in the arguments are reported later."""
    if arguments[:1] == ["run"] and not {"--dry-run", "-h", "--help"}.intersection(arguments):
        start_early(_value(arguments, "--runner") or "auto", _value(arguments, "--address"))


def _value(arguments: Sequence[str], option: str) -> str:
    """The value of an option, or '' if it is not given."""
    for word, following in zip(arguments, [*arguments[1:], ""], strict=True):
        if word == option:
            return following
        if word.startswith(f"{option}="):
            return word.partition("=")[2]
    return ""


if __name__ == "__main__":
    main()
