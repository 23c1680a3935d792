"""Opens a source from an entry of `ingest.sources`.

Each kind of source is a file in this folder and a line in `KINDS`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from engine.errors import ConfigError, unknown
from pipelines.ingest.sources.source import Source

# The value after the name of a kind in a recipe is the first parameter of the kind's class.
KINDS = {
    "folder": "pipelines.ingest.sources.folder:Folder",
    "coco": "pipelines.ingest.sources.coco:CocoJson",
    "webdataset": "pipelines.ingest.sources.webdataset:WebDataset",
    "parquet": "pipelines.ingest.sources.parquet:ParquetRows",
    "uris": "pipelines.ingest.sources.uris:UriList",
    "world": "pipelines.ingest.sources.world:World",
}


def open_source(spec: Mapping[str, Any] | str) -> Source:
    """The source for an entry: a folder, a world:// URL, or {folder: ...}, {webdataset: ...} and so on, with options.

    Options may stand beside the name of the kind or below it. Raises ConfigError if the entry is wrong.
    """
    if isinstance(spec, str):
        spec = {"world" if spec.startswith("world:") else "folder": spec}
    kind = source_kind(_name_of_kind(spec))
    given = spec[kind.name]
    options = dict(given) if isinstance(given, Mapping) else {kind.required[0]: given}
    options |= {key: value for key, value in spec.items() if key != kind.name}
    options = {key: _checked(kind, key, value) for key, value in options.items()}
    missing = [key for key in kind.required if not options.get(key)]
    if missing:
        raise ConfigError(f"The source '{kind.name}' lacks {' and '.join(missing)}.")
    return kind.make(**options)


def _name_of_kind(spec: Mapping[str, Any]) -> str:
    names = [key for key in spec if key in KINDS]
    if len(names) == 1:
        return names[0]
    first = next(iter(spec), "")
    if first and not names:
        raise unknown("source", str(first), KINDS)
    *others, last = (f"{kind}:" for kind in KINDS)
    found = ", ".join(map(str, spec)) or "nothing"
    raise ConfigError(f"A source is one of {', '.join(others)} or {last}, found {found}.")


@dataclass(frozen=True, slots=True)
class SourceKind:
    """A kind of source. `options`: {option of a recipe: what it is}.

    `lists`: the options that take one text or several, each with an example for errors ("globs such as ['*.jpg']").
    """

    name: str
    make: Callable[..., Source]
    options: Mapping[str, str]
    required: tuple[str, ...]
    lists: Mapping[str, str]


def source_kind(name: str) -> SourceKind:
    """Imports the class of this kind and reads its options from the parameters."""
    module, _, class_name = KINDS[name].partition(":")
    make = getattr(import_module(module), class_name)
    parameters = inspect.signature(make).parameters
    required = tuple(key for key, parameter in parameters.items() if parameter.default is parameter.empty)
    options = {option: make.OPTIONS.get(option, "") for option in parameters}
    return SourceKind(name, make, options, required, getattr(make, "LISTS", {}))


def _checked(kind: SourceKind, key: str, value: Any) -> Any:
    if key not in kind.options:
        raise unknown(f"option of the source '{kind.name}'", str(key), kind.options)
    if expected := kind.lists.get(key):
        several = [value] if isinstance(value, str) else value
        if not isinstance(several, list) or not all(isinstance(one, str) for one in several):
            raise ConfigError(f"The source '{kind.name}' has {key}: {value!r}, expected a list of {expected}.")
        return several
    if not isinstance(value, str):
        raise ConfigError(f"The source '{kind.name}' has {key}: {value!r}, expected a text.")
    return value
