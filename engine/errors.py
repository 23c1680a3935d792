"""Every error the engine raises on purpose, and who is to act on it.

EngineError                 one sentence for a person; the command line prints it and exits 2
├── ConfigError             a recipe, an option, a name, a flag: the user corrects it and runs again
├── StorageError            disk full, permission, network after retries: the run stops, nothing is judged by it
│   └── DamageError         a file of a data set is gone, or not as it was written: 'engine check' tells what to do
├── StartError              a component that cannot start: its weights, its packages, its options
├── RunFailed               too much went wrong, or a training fell apart: the run stops, commits stay
├── SourcesGone             images that were placed and whose source cannot be read now: their unit is put aside
└── ImageError(reason)      this one image cannot be done; becomes a failure row, never stops a run
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence


class EngineError(Exception):
    """One sentence that says what was found, what was expected and what to do."""


class ConfigError(EngineError):
    """The recipe, an option or a flag is wrong."""


class StorageError(EngineError):
    """The place data is read from or written to does not work; no image is at fault."""


class DamageError(StorageError):
    """A file that the engine wrote is gone, or is not as it was written. The sentence names it."""


class StartError(EngineError):
    """A component could not be loaded."""


class RunFailed(EngineError):
    """The run stops: a component cannot start, or too many images fail. What was committed stays."""


class ImageError(EngineError):
    """One image cannot be done. `reason` is a short fixed word that SQL can group by."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason

    def __reduce__(self) -> tuple[type[ImageError], tuple[str, str]]:
        return (ImageError, (self.reason, str(self)))


class SourcesGone(EngineError):
    """Nothing may be committed of a unit because images of it cannot be read now: (image id, reason, error) each."""

    def __init__(self, images: Sequence[tuple[str, str, str]]) -> None:
        super().__init__(f"{len(images)} images cannot be read now")
        self.images = list(images)


# Why an image that was placed cannot be read now. Each may be mended where the images lie.
GONE = frozenset({"missing", "unreadable", "unreachable", "changed"})


def unknown(kind: str, name: object, known: Iterable[object]) -> ConfigError:
    """The error for a name nobody knows, with the nearest name somebody does."""
    names = sorted(map(str, known))
    name = str(name) if len(str(name)) <= 80 else f"{str(name)[:77]}..."
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(names) or 'none'}."
    return ConfigError(f"Unknown {kind} '{name}': {hint}")
