"""Values of a recipe: replaces variables, refuses values of the wrong type, and turns pydantic's errors into sentences.

pydantic reads true as 1 and "0.5" as .5. In a recipe these are mistakes, so `check_kinds` refuses them. Text from a
variable may be read as a number, because environment variables are always text.
"""

from __future__ import annotations

import importlib.util
import math
import os
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from engine.config.yaml_file import KeyPath, kind_of
from engine.errors import ConfigError, unknown

if TYPE_CHECKING:
    from pydantic import ValidationError


class Expanded(str):
    """Text in which a variable was replaced."""

    __slots__ = ()


class WrongKind(Exception):
    """A value has the wrong type. The message states what was found and what was expected."""

    def __init__(self, path: KeyPath, message: str) -> None:
        super().__init__(message)
        self.path = path


def expand(value: Any) -> Any:
    """The value with every ${package:NAME} and ${env:NAME} replaced. Raises ConfigError for an unknown name."""
    if isinstance(value, str):
        return Expanded(re.sub(r"\$\{([^}]*)(\}?)", _variable, value)) if "${" in value else value
    if isinstance(value, Mapping):
        return {key: expand(item) for key, item in value.items()}
    if isinstance(value, list):
        return [expand(item) for item in value]
    return value


def _variable(match: re.Match[str]) -> str:
    kind, colon, name = match[1].partition(":")
    if not (colon and match[2] and re.fullmatch(r"[\w.]+", name)):
        raise ConfigError(f"'{match[0]}' in the recipe is not a variable: write ${{env:NAME}} or ${{package:NAME}}.")
    if kind == "env":
        if name not in os.environ:
            raise ConfigError(f"The recipe reads the environment variable '{name}', which is not set: set it.")
        return os.environ[name]
    if kind == "package":
        return _folder_of(name)
    raise unknown("variable kind", kind, ["env", "package"])


def _folder_of(package: str) -> str:
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError):
        spec = None
    if spec is None or not spec.submodule_search_locations:
        raise ConfigError(f"The recipe reads files of the package '{package}', which is not installed: install it.")
    return str(next(iter(spec.submodule_search_locations)))


def check_kinds(given: Any, read: Any, path: KeyPath = ()) -> None:
    """Raise WrongKind if pydantic converted a value to another type, such as text to a number, or if a number is NaN.

    `given`: the value in the recipe. `read`: what pydantic made of it.
    """
    if isinstance(given, Mapping) and isinstance(read, Mapping):
        for key, value in given.items():
            if key in read:
                check_kinds(value, read[key], (*path, str(key)))
    elif isinstance(given, list | tuple) and isinstance(read, list | tuple):
        for position, (value, got) in enumerate(zip(given, read, strict=False)):
            check_kinds(value, got, (*path, str(position)))
    elif isinstance(read, bool):
        if not isinstance(given, bool | Expanded):
            raise WrongKind(path, f"{as_written(given)}: expected true or false")
    elif isinstance(read, int | float):
        if math.isnan(read):
            raise WrongKind(path, f"{as_written(given)}: expected a number")
        if isinstance(given, bool):
            raise WrongKind(path, f"{as_written(given)}: expected a number")
        if isinstance(given, str) and not isinstance(given, Expanded):
            raise WrongKind(path, f"the text {as_written(given)}: expected a number, so remove the quotes")


def as_written(value: Any) -> str:
    """A value as it is written in a recipe. Of a long list or mapping, only the type."""
    if isinstance(value, str):
        return repr(value if len(value) <= 60 else value[:57] + "...")
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    text = str(value)
    return text if len(text) <= 60 else kind_of(value)


def explain(error: ValidationError, given: Any) -> tuple[KeyPath, str, str]:
    """The error that best explains what is wrong with `given`: (path in `given`, pydantic's error type, sentence).

    pydantic may report several errors. An error about an unknown key is taken first, because the key is probably a
    misspelling of one that another error reports as missing. Otherwise the deepest error is taken, because pydantic
    reports an error for each type that a value may have.
    """
    found = [
        (one, _real(one["loc"], given, one["type"] in ("missing", "value_error")))
        for one in error.errors(include_url=False)
    ]
    first, path = max(found, key=lambda pair: (pair[0]["type"] == "extra_forbidden", len(pair[1])))
    value = first["input"]
    if value is None and first["type"] != "missing":
        return path, first["type"], "empty: give a value, or remove the key"
    message = first["msg"].removeprefix("Value error, ")
    return path, first["type"], f"{as_written(value)}: {_expected(first['type'], path, value, message)}"


def _real(loc: tuple[int | str, ...], given: Any, missing: bool) -> KeyPath:
    """The path of an error in the recipe. pydantic also puts names of types into its path; they are removed here.

    `missing`: also keep a last key that is not in `given`, because the error is about a missing value or a default.
    """
    path: list[str] = []
    for position, part in enumerate(loc):
        inside = isinstance(part, int) and part < len(given) if isinstance(given, list | tuple) else False
        if inside or (isinstance(given, Mapping) and part in given):
            given = given[part]
        elif not missing or position < len(loc) - 1:
            continue
        path.append(str(part))
    return tuple(path)


_SHAPES = {  # examples, where a list or keys are expected
    "filter": "a list of rules, such as '- min_score: {floor: 0.3}'",
    "ingest.sources": "a list, such as '- folder: my-photos'",
    "annotate": "nodes by name, such as 'ssd: {use: ssd_mobilenet}'",
    "emit.formats": "a list, such as [webdataset, pairs]",
    "emit.label_list": "a list, such as [person, dog]",
    "emit.labels.drop": "a list, such as [thing]",
    "emit.labels.rename": "old and new labels, such as {bike: bicycle}",
    "emit.mixture": "sources and weights, such as {photos: 3, street: 1}",
}


def _expected(kind: str, path: KeyPath, value: Any, message: str) -> str:
    where = ".".join(path)
    if kind == "string_type" and isinstance(value, bool):
        return "expected text; YAML reads yes, no, on and off as truth values, so quote it"
    if kind == "string_type" and isinstance(value, int | float):
        return f"expected text, so quote it: '{as_written(value)}'"
    if kind == "string_type":
        return "expected text"
    if re.fullmatch(r"filter\.\d+", where):
        return "expected a rule's name, or {name: {option: value}}"
    if kind in ("list_type", "dict_type", "model_type", "model_attributes_type", "mapping_type"):
        if len(path) == 2 and path[0] == "annotate":
            return "expected what it runs, such as {use: ssd_mobilenet}"
        shape = "a list" if kind == "list_type" else "keys and values, {key: value}"
        return f"expected {_SHAPES.get(where, shape)}"
    return message[:1].lower() + message[1:]
