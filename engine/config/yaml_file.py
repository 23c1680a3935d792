"""Reads the YAML of a recipe more strictly than PyYAML, and stores the line of each value for error messages.

PyYAML accepts a repeated key and keeps its last value. It also expands anchors without limit. Here a repeated key is an
error that names both lines. An anchor that contains itself or expands to very many values is an error too.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from engine.errors import ConfigError
from engine.storage.text_files import decode_text

MAX_BYTES = 2**20
MAX_VALUES = 200_000
MAX_DEPTH = 100

KeyPath = tuple[str, ...]  # the keys and list positions that lead to a value, as text

# PyYAML raises these errors, besides its own, if it cannot convert a scalar that has a tag or looks like a date.
_CONVERSION_ERRORS = (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError)


_TAG = "tag:yaml.org,2002:"
_NO_NAMES = (f"{_TAG}bool", f"{_TAG}null", f"{_TAG}timestamp")  # the tags of unquoted no, on, ~ and dates


class _Loader(yaml.SafeLoader):
    """SafeLoader that reads 1e-5 as a number, as YAML 1.2 does, and stores the line it has reached."""

    line = 1

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        self.line = _line(node)
        return super().construct_object(node, deep=deep)


_EXPONENT = re.compile(r"^[-+]?(?:[0-9][0-9_]*)(?:\.[0-9_]*)?[eE][-+]?[0-9]+$")
_Loader.add_implicit_resolver(f"{_TAG}float", _EXPONENT, list("-+0123456789"))


def read_recipe_file(path: str | Path) -> tuple[dict[str, Any], dict[KeyPath, int]]:
    """The mapping in a recipe file, and the line of each value in it."""
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise ConfigError(
                f"The recipe '{path}' has more than {MAX_BYTES:,} bytes, too many for a recipe: give its YAML with -c."
            )
        text = decode_text(data)
    except FileNotFoundError:
        raise ConfigError(f"No recipe at '{path}': copy pipelines/recipes/folder.yaml and give it with -c.") from None
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"The recipe '{path}' cannot be read: byte {error.start} is not UTF-8 or UTF-16 text; save it as UTF-8."
        ) from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigError(f"The recipe '{path}' cannot be read: {reason}.") from error
    content, lines = parse_yaml(text, f"The recipe '{path}'")
    if not isinstance(content, dict):
        raise ConfigError(f"The recipe '{path}' holds {kind_of(content)}, expected keys such as 'dataset:'.")
    return content, lines


def parse_yaml(text: str, where: str) -> tuple[Any, dict[KeyPath, int]]:
    """The value of one YAML document, and the line of each value in it.

    Raises ConfigError for invalid YAML. Its message starts with `where`.
    """
    line = 1
    try:
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return None, {}
            lines = _check_nodes(loader, node, where)
            return loader.construct_document(node), lines
        finally:
            line = loader.line
            loader.dispose()
    except yaml.YAMLError as error:
        raise ConfigError(f"{where} is not YAML: {_problem(error)}.") from error
    except RecursionError:
        raise ConfigError(f"{where} is nested more than {MAX_DEPTH} deep: write it flatter.") from None
    except _CONVERSION_ERRORS as error:
        raise ConfigError(f"{where} has a value that YAML cannot read, line {line}: {error}; quote it.") from error


def kind_of(value: Any) -> str:
    """The name of a value's type in YAML, for messages."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return f"the truth value {str(value).lower()}"
    if isinstance(value, int | float):
        return f"the number {value}"
    if isinstance(value, str):
        return f"the text '{value}'" if len(value) <= 60 else f"the text '{value[:57]}...'"
    if isinstance(value, list | tuple):
        return "a list"
    return "keys and values" if isinstance(value, Mapping) else f"a {type(value).__name__}"


# --- what PyYAML does not check -------------------------------------------------------------------


def _check_nodes(loader: _Loader, root: yaml.Node, where: str) -> dict[KeyPath, int]:
    """The line of each value, including values merged with '<<'.

    Raises ConfigError for repeated keys and bad anchors.
    """
    lines: dict[KeyPath, int] = {}
    waiting: list[tuple[yaml.Node, KeyPath, tuple[int, ...]]] = [(root, (), ())]
    visited = 0
    while waiting:
        node, path, above = waiting.pop()
        visited += 1
        if id(node) in above:
            raise ConfigError(f"{where}, line {_line(node)}: this anchor contains itself; write out what is meant.")
        if len(above) > MAX_DEPTH:
            raise ConfigError(f"{where}, line {_line(node)}, is nested more than {MAX_DEPTH} deep: write it flatter.")
        if visited > MAX_VALUES:
            raise ConfigError(f"{where} has more than {MAX_VALUES:,} values with its anchors expanded: shorten it.")
        lines.setdefault(path, _line(node))
        children = list(_children(loader, node, where))
        waiting += [(child, (*path, *key), (*above, id(node))) for child, key in reversed(children)]
    return lines


def _children(loader: _Loader, node: yaml.Node, where: str) -> Iterator[tuple[yaml.Node, KeyPath]]:
    if isinstance(node, yaml.SequenceNode):
        for position, item in enumerate(node.value):
            yield item, (str(position),)
    elif isinstance(node, yaml.MappingNode):
        yield from _values(loader, node, where)


def _values(loader: _Loader, node: yaml.MappingNode, where: str) -> Iterator[tuple[yaml.Node, KeyPath]]:
    """Yields the values of a mapping with their paths.

    The mapping's own values come before values merged with '<<', because they override them.
    """
    lines: dict[Hashable, int] = {}
    merged: list[yaml.Node] = []
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise ConfigError(f"{where}, line {_line(key)}: a list or mapping cannot be a key; write a name.")
        if key.tag == f"{_TAG}merge":
            merged += value.value if isinstance(value, yaml.SequenceNode) else [value]
            continue
        if key.tag in _NO_NAMES:
            raise ConfigError(_no_name(loader, key, where))
        name: Hashable = loader.construct_object(key)
        if name in lines:
            raise ConfigError(_twice(where, key.value, lines[name], _line(key)))
        lines[name] = _line(key)
        yield value, (str(key.value),)
    for value in merged:
        yield value, ()


def _no_name(loader: _Loader, key: yaml.ScalarNode, where: str) -> str:
    if not key.value:
        return f"{where}, line {_line(key)}: there is no name before the colon; write one."
    found = loader.construct_object(key)
    meant = str(found).lower() if isinstance(found, bool) else "nothing" if found is None else "a date"
    return f"{where}, line {_line(key)}: YAML reads the key {key.value} as {meant}; quote it, '{key.value}'."


def _twice(where: str, key: str, first: int, second: int) -> str:
    lines = f"lines {first} and {second}" if first != second else f"both on line {first}"
    return f"{where} has '{key}' twice, {lines}: keep one of them, or put their values together."


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def _problem(error: yaml.YAMLError) -> str:
    """The message of PyYAML's error with line and column. PyYAML's excerpt of the text is left out."""
    mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
    if mark is None or not problem:
        return " ".join(str(error).split())
    if "another document" in problem:
        return f"a second document begins at line {mark.line + 1}; keep one, without '---' between"
    advice = "; indent with spaces" if "\\t" in problem else ""
    return f"line {mark.line + 1}, column {mark.column + 1}: {problem}{advice}"
