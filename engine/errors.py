"""The errors that the engine raises on purpose.

EngineError                 one sentence for the user; the command line prints it and exits with 2
├── ConfigError             a recipe, an option, a name or a flag is wrong: the user corrects it
├── StorageError            disk full, no permission, network down after retries: the run stops
│   └── DamageError         a file of a data set is missing or was changed: 'engine check' shows what to do
│       └── SwappedRecord   one commit record was replaced by another
├── StartError              a component cannot start because of its weights, packages or options
├── RunFailed               too many failures, or a training diverged: the run stops, committed work is kept
├── SourcesGone             images of a unit cannot be read now: the unit is postponed
└── ImageError(reason)      one image failed: it becomes a failure row, and the run goes on
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence


class EngineError(Exception):
    """The base of all errors here. The message is one sentence: what was found, what was expected and what to do."""


class ConfigError(EngineError):
    """The recipe, an option or a flag is wrong."""


class StorageError(EngineError):
    """Reading or writing failed for a reason that is not about a single image."""


class DamageError(StorageError):
    """A file that the engine wrote is missing or was changed. The message names the file."""


class SwappedRecord(DamageError):
    """A commit record is undamaged, but it belongs to another commit."""


class StartError(EngineError):
    """A component could not be loaded."""


class RunFailed(EngineError):
    """The run stops: a component cannot start, or too many images fail. Committed work is kept."""


class ImageError(EngineError):
    """One image failed. `reason` is a short fixed word, by which queries can group failures."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason

    def __reduce__(self) -> tuple[type[ImageError], tuple[str, str]]:
        return (ImageError, (self.reason, str(self)))


class SourcesGone(EngineError):
    """A unit cannot be committed, because some of its images cannot be read now.

    `images`: (image id, reason, error) for each of them.
    """

    def __init__(self, images: Sequence[tuple[str, str, str]]) -> None:
        super().__init__(f"{len(images)} images cannot be read now")
        self.images = list(images)


# Reasons why an image cannot be read now. Once its source is repaired, it may be readable again.
GONE = frozenset({"missing", "unreadable", "unreachable", "changed"})


def unknown(kind: str, name: object, known: Iterable[object]) -> ConfigError:
    """A ConfigError about an unknown name. Its message suggests the nearest known name.

    `kind`: what the name stands for, such as "node".
    """
    names = sorted(map(str, known))
    name = str(name) if len(str(name)) <= 80 else f"{str(name)[:77]}..."
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(names) or 'none'}."
    return ConfigError(f"Unknown {kind} '{name}': {hint}")


def sql_sentence(message: str) -> str:
    """DuckDB's error message, without the error class at its start and the excerpt of the query at its end."""
    lines = [line.strip() for line in message.partition("\nLINE ")[0].splitlines()]
    sentence = " ".join(line for line in lines if line)
    head, colon, rest = sentence.partition(" Error: ")
    if colon and " " not in head.strip():
        sentence = rest
    return sentence if sentence.endswith((".", "!", "?")) else f"{sentence}."
