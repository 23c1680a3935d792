"""The program `engine`. It starts the process for workers first, which imports the engine while this process does.

`engine verify` does the same with the process that reads by `datasets`.
"""

from __future__ import annotations

import atexit
import gc
import os
import sys
from collections.abc import Sequence

# Between two collections of garbage, in new objects. With Python's 700, a tenth of the time for imports goes into them.
_COLLECT_AFTER = 50_000


def main() -> None:
    leaving = _Leaving()
    atexit.register(leaving.leave)  # registered first, so it runs last, when all threads have ended
    gc.set_threshold(_COLLECT_AFTER)
    _start_early(sys.argv[1:])
    from pipelines.cli.commands import app

    try:
        app()
    except SystemExit as ended:
        leaving.code = 0 if ended.code is None else ended.code
        raise


class _Leaving:
    """Ends the process at once. Python would take a tenth of a second to free objects that the system frees anyway."""

    def __init__(self) -> None:
        self.code: object = ""  # not an integer until the command has ended in the ordinary way

    def leave(self) -> None:
        if not isinstance(self.code, int):
            return
        try:
            for stream in filter(None, (sys.stdout, sys.stderr)):  # None if the descriptor is closed
                stream.flush()
        except (OSError, ValueError):  # Python reports it
            return
        os._exit(self.code)


def _start_early(arguments: Sequence[str]) -> None:
    """Start the process that the command will need, if any. Mistakes in the arguments are reported later."""
    if {"--dry-run", "-h", "--help"}.intersection(arguments):
        return
    if arguments[:1] == ["run"]:
        from engine.running.backends.fork_start import start_early

        start_early(_value(arguments, "--runner") or "auto", _value(arguments, "--address"))
    elif arguments[:1] == ["verify"]:
        from pipelines.emit.verifiers.datasets_program import start_early as start_datasets

        start_datasets()


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
