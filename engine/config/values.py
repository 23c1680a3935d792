"""Values of a recipe: variables in them, values of another kind than asked for, and pydantic's errors in words.

pydantic reads true as 1 and "0.5" as .5; in a recipe that is a slip, so it is refused after reading. Text that a
variable gave may stand for a number: an environment holds nothing else.
"""

from __future__ import annotations

import importlib.util
import math
import os
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from engine.config.yaml_file import Place, kind_of
from engine.errors import ConfigError, unknown

if TYPE_CHECKING:
    from pydantic import ValidationError


class Expanded(str):
    """Text that a variable is part of."""

    __slots__ = ()


class OtherKind(Exception):
    """A value is not of the kind that was asked for; says what it is and what was expected."""

    def __init__(self, place: Place, message: str) -> None:
        super().__init__(message)
        self.place = place


def expand(value: Any) -> Any:
    """Every ${package:NAME} and ${env:NAME} in texts replaced; ConfigError for one that means nothing."""
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
        raise ConfigError(f"'{match[0]}' in the recipe is no variable: write ${{env:NAME}} or ${{package:NAME}}.")
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


def refuse_other_kinds(given: Any, read: Any, place: Place = ()) -> None:
    """OtherKind where a truth value or a text was read as a number, or the reverse, and for a NaN."""
    if isinstance(given, Mapping) and isinstance(read, Mapping):
        for key, value in given.items():
            if key in read:
                refuse_other_kinds(value, read[key], (*place, str(key)))
    elif isinstance(given, list | tuple) and isinstance(read, list | tuple):
        for position, (value, got) in enumerate(zip(given, read, strict=False)):
            refuse_other_kinds(value, got, (*place, str(position)))
    elif isinstance(read, bool):
        if not isinstance(given, bool | Expanded):
            raise OtherKind(place, f"{shown(given)}: expected true or false")
    elif isinstance(read, int | float):
        if math.isnan(read):
            raise OtherKind(place, f"{shown(given)}, which is not a number: expected one")
        if isinstance(given, bool):
            raise OtherKind(place, f"{shown(given)}: expected a number")
        if isinstance(given, str) and not isinstance(given, Expanded):
            raise OtherKind(place, f"the text {shown(given)}: expected a number, so remove the quotes")


def shown(value: Any) -> str:
    """A value as a recipe has it; lists and mappings only by their kind unless they are short."""
    if isinstance(value, str):
        return repr(value if len(value) <= 60 else value[:57] + "...")
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    text = str(value)
    return text if len(text) <= 60 else kind_of(value)


def in_words(error: ValidationError, given: Any) -> tuple[Place, str, str]:
    """(where in `given`, pydantic's type of error, what it is and what was expected) of one error.

    A key that nobody knows goes first: it is likely the misspelt one that another error finds missing. Else the one
    that lies deepest: of a value that may be one of two kinds, pydantic tells what is wrong with it as either.
    """
    found = [(one, _real(one["loc"], given, one["type"] == "missing")) for one in error.errors(include_url=False)]
    first, place = max(found, key=lambda pair: (pair[0]["type"] == "extra_forbidden", len(pair[1])))
    value = first["input"]
    if value is None and first["type"] != "missing":
        return place, first["type"], "empty: give a value, or remove the key"
    message = first["msg"].removeprefix("Value error, ")
    return place, first["type"], f"{shown(value)}: {_expected(first['type'], place, value, message)}"


def _real(loc: tuple[int | str, ...], given: Any, missing: bool) -> Place:
    """A location without the names of types that pydantic puts into it; a missing key stays."""
    place: list[str] = []
    for position, part in enumerate(loc):
        inside = isinstance(part, int) and part < len(given) if isinstance(given, list | tuple) else False
        if inside or (isinstance(given, Mapping) and part in given):
            given = given[part]
        elif not missing or position < len(loc) - 1:
            continue
        place.append(str(part))
    return tuple(place)


_SHAPES = {  # what stands at a place where a list or keys are expected
    "filter": "a list of rules, such as '- min_score: {floor: 0.3}'",
    "ingest.sources": "a list, such as '- folder: my-photos'",
    "annotate": "nodes by name, such as 'ssd: {use: ssd_mobilenet}'",
}


def _expected(kind: str, place: Place, value: Any, message: str) -> str:
    where = ".".join(place)
    if kind == "string_type" and isinstance(value, bool):
        return "expected text; YAML reads yes, no, on and off as truth values, so quote it"
    if kind == "string_type" and isinstance(value, int | float):
        return f"expected text, so quote it: '{shown(value)}'"
    if kind == "string_type":
        return "expected text"
    if re.fullmatch(r"filter\.\d+", where):
        return "expected a rule's name, or {name: {option: value}}"
    if kind in ("list_type", "dict_type", "model_type", "model_attributes_type", "mapping_type"):
        if len(place) == 2 and place[0] == "annotate":
            return "expected what it runs, such as {use: ssd_mobilenet}"
        shape = "a list" if kind == "list_type" else "keys and values, {key: value}"
        return f"expected {_SHAPES.get(where, shape)}"
    return message[:1].lower() + message[1:]
