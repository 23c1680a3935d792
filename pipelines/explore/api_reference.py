"""The Python API as one page: the public functions of `pipelines` and the records they return.

    python -m pipelines.explore.api_reference > docs/api.md

Made from signatures and docstrings; a test fails if the page differs from them.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import json
from collections.abc import Callable, Iterator
from typing import Any

import pipelines

_HEAD = """# Python API

Made by `python -m pipelines.explore.api_reference`: do not edit. [quickstart.ipynb](quickstart.ipynb) shows it in use.

The functions do what the commands of `engine` do. They return data; `print` shows what the command prints. A mistake
raises `engine.errors.EngineError` with one sentence."""


_RETURNED = """## What they return

A recipe has the keys of [reference.md](reference.md); `query` returns an Arrow table and `show` a PIL image."""


def api_reference() -> str:
    functions = {name: getattr(pipelines, name) for name in pipelines.__all__}
    names = "".join(f"    {name},\n" for name in functions)
    parts = [_HEAD, f"```python\nfrom pipelines import (\n{names})\n```"]
    parts += [f"## {name}\n\n```python\n{name}{_signature(of)}\n```\n\n{_doc(of)}" for name, of in functions.items()]
    returned = dict.fromkeys(record for function in functions.values() for record in _returned(function))
    records = [record for record in returned if not hasattr(record, "model_fields")]
    parts.append(_RETURNED)
    for record in records:
        parts.append("\n\n".join(filter(None, [f"### {record.__name__}", _doc(record), *_members(record)])))
    return "\n\n".join(part.rstrip() for part in parts) + "\n"


def _signature(function: Callable[..., Any]) -> str:
    """The signature on one line if it fits, otherwise with one parameter on each line."""
    signature = inspect.signature(function)
    parameters: list[str] = []
    for parameter in signature.parameters.values():
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY and "*" not in parameters:
            parameters.append("*")
        default = "" if parameter.default is inspect.Parameter.empty else f" = {_literal(parameter.default)}"
        parameters.append(f"{parameter.name}: {parameter.annotation}{default}")
    line = f"({', '.join(parameters)}) -> {signature.return_annotation}"
    if len(line) < 100:
        return line
    return "(\n" + "".join(f"    {parameter},\n" for parameter in parameters) + f") -> {signature.return_annotation}"


def _literal(value: Any) -> str:
    return json.dumps(value) if isinstance(value, str) else repr(value)


def _doc(item: Any) -> str:
    """The docstring. It is '' if a dataclass generated it from its fields."""
    text = inspect.cleandoc(item.__doc__ or "")
    return "" if text.startswith(f"{getattr(item, '__name__', '')}(") else text


def _returned(function: Callable[..., Any]) -> Iterator[type]:
    """Yields the engine's class that a function returns and, if that is a list, the class of its items."""
    module = importlib.import_module(function.__module__)
    name = str(inspect.signature(function).return_annotation)
    record = getattr(module, name, None)
    if inspect.isclass(record) and record.__module__.split(".")[0] in ("engine", "pipelines"):
        yield record
        yield from _items(record)


def _items(record: type) -> Iterator[type]:
    """Yields the class of the items of a list type."""
    for base in getattr(record, "__orig_bases__", ()):
        yield from (item for item in getattr(base, "__args__", ()) if inspect.isclass(item))


def _members(record: type) -> Iterator[str]:
    """Yields the lines of a table of the public fields and properties."""
    fields = dataclasses.fields(record) if dataclasses.is_dataclass(record) else ()
    properties = inspect.getmembers(record, lambda member: isinstance(member, property))
    rows = [(field.name, str(field.type)) for field in fields]
    rows += [(name, _property(value)) for name, value in properties]
    rows = [(name, text) for name, text in rows if not name.startswith("_")]
    if rows:
        table = "\n".join(f"| `{name}` | {text.replace('|', 'or')} |" for name, text in rows)
        yield f"| field | what |\n|---|---|\n{table}"


def _property(value: property) -> str:
    """The type of a property and the first line of its docstring."""
    kind = str(inspect.signature(value.fget).return_annotation) if value.fget else ""
    return f"{kind}: {_doc(value).splitlines()[0]}" if value.__doc__ else kind


if __name__ == "__main__":
    print(api_reference(), end="")
