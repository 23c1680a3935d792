"""What a recipe may name: specialists and filters, what each reads and makes, and its options.

Nothing here loads a component. Importing one is cheap, because heavy imports wait for its `load`.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Union, get_args, get_origin

from engine.config.catalog import Option, options_of, resolve
from engine.errors import ConfigError, unknown
from engine.extras import how_to_install, missing
from engine.licences import STATED, UNKNOWN
from filters import CATALOG as FILTERS
from filters.verdict import needs_parse, needs_whole_set, reads
from specialists import CATALOG as SPECIALISTS
from specialists import DOUBLES


@dataclass(frozen=True, slots=True)
class OptionInfo:
    """An option of a component. `default` is in YAML; it is '' if the option is required."""

    name: str
    type: str
    default: str
    required: bool


@dataclass(frozen=True, slots=True)
class ComponentInfo:
    """A specialist or filter. str() is its page. `problem`: why it cannot be used, for example a missing package."""

    name: str
    kind: str  # specialist | filter
    summary: str = ""
    reads_and_makes: str = ""
    description: str = ""
    version: int | None = None
    deterministic: bool = True
    options: tuple[OptionInfo, ...] = ()
    problem: str = ""
    code_licence: str = ""
    weights_licence: str = ""

    def __str__(self) -> str:
        head = f"{self.name}, a {self.kind}: {self.reads_and_makes}"
        if self.version is not None:
            same = "the same answer every time" if self.deterministic else "answers vary"
            head += f"; version {self.version}" + (f", {same}" if self.kind == "specialist" else "")
        lines = [head, "", *([self.summary, ""] if self.kind == "specialist" else []), self.description, ""]
        if self.code_licence:
            lines += [f"licences: {self.code_licence} (code), {self.weights_licence} (weights)", ""]
        lines.append("options:" if self.options else "no options")
        for option in self.options:
            value = "must be given" if option.required else f"default {option.default}"
            lines.append(f"  {option.name}: {option.type}, {value}")
        return "\n".join(lines)


class ComponentList(list[ComponentInfo]):
    """Components. str() is a list of them, or a page if they all have the same name."""

    def __str__(self) -> str:
        if len({info.name for info in self}) == 1:
            return "\n\n".join(map(str, self))
        lines = ["specialists, named in a recipe by annotate: {<node>: {use: <name>, <option>: ...}}"]
        lines += [_entry(info) for info in self if info.kind == "specialist"]
        lines += ["", "filters, named by filter: [<name>, {<name>: {<option>: ...}}]"]
        lines += [_entry(info) for info in self if info.kind == "filter"]
        return "\n".join([*lines, "", "engine components NAME shows the options of one."])


def _entry(info: ComponentInfo) -> str:
    lines = [line for line in (info.summary, info.reads_and_makes, info.problem) if line]
    return "\n      ".join([f"  {info.name}", *lines])


def components(name: str = "") -> ComponentList:
    """All specialists and filters, or those with this name. Raises ConfigError if there is none."""
    if name:
        return ComponentList(describe(kind, name) for kind in kinds_of(name))
    return ComponentList(_described(kind, entry) for kind, entry in entries())


def entries() -> list[tuple[str, str]]:
    """(kind, name) of everything in the catalogs, except the fakes for tests."""
    specialists = [("specialist", name) for name in SPECIALISTS if name not in DOUBLES]
    return [*specialists, *(("filter", name) for name in FILTERS)]


def kinds_of(name: str) -> list[str]:
    """The kinds that this name has: specialist, filter or both. A "module:Name" is imported to find out."""
    found = [kind for kind, catalog in (("specialist", SPECIALISTS), ("filter", FILTERS)) if name in catalog]
    if found:
        return found
    if ":" not in name:
        raise unknown("component or filter", name, [entry for _, entry in entries()])
    return ["specialist" if hasattr(resolve("component", name, SPECIALISTS)[1], "gives") else "filter"]


def load_class(kind: str, name: str) -> Any:
    """The class of a specialist or the function of a filter. Raises ConfigError if it cannot be imported."""
    return resolve(*(("component", name, SPECIALISTS) if kind == "specialist" else ("filter", name, FILTERS)))[1]


def _described(kind: str, name: str) -> ComponentInfo:
    """The component's record. If it cannot be imported, the record has only the problem; `describe` would raise it."""
    try:
        return describe(kind, name)
    except ConfigError as error:
        return ComponentInfo(name, kind, problem=str(error))


def describe(kind: str, name: str) -> ComponentInfo:
    component = load_class(kind, name)
    lacking = missing(getattr(component, "packages", ()))
    return ComponentInfo(
        name,
        kind,
        summary=_first_sentence(component),
        reads_and_makes=_reads_and_makes(component),
        description=inspect.cleandoc(_doc(component)),
        version=getattr(component, "version", None),
        deterministic=getattr(component, "deterministic", True),
        options=tuple(_option(option) for option in options_of(component).values()),
        problem=f"not installed: {how_to_install(lacking[0], component.extra)}" if lacking else "",
        **(_licences(component) if kind == "specialist" else {}),
    )


def _licences(component: Any) -> dict[str, str]:
    """{field: licence}.

    If one adapter serves many checkpoints, the licence of the weights depends on the adapter's options.
    """
    given = {name: getattr(component, name, UNKNOWN) for name in STATED}
    return {
        name: (value or "none") if isinstance(value, str) else "that of the checkpoint" for name, value in given.items()
    }


def _reads_and_makes(component: Any) -> str:
    if not hasattr(component, "gives"):
        columns = reads(component)
        others = [*columns[1:], *(["the parse"] if needs_parse(component) else [])]
        others += ["a survey of the whole set"] if needs_whole_set(component) else []
        return f"judges {columns[0]}" + (f", reads {' and '.join(others)}" if others else "")
    parts = [f"needs {' and '.join(component.needs) or 'nothing'}"]
    parts += [f"uses {' and '.join(component.uses)} if there"] if getattr(component, "uses", ()) else []
    return "; ".join([*parts, f"gives {' and '.join(component.gives) or 'nothing'}"])


def _doc(component: Any) -> str:
    own = component.__dict__.get("__doc__") if inspect.isclass(component) else component.__doc__
    return own or ""


def _first_sentence(component: Any) -> str:
    """The first sentence of the component's docstring, or of its module's if the module has no other specialist."""
    alone = sum(target.partition(":")[0] == component.__module__ for target in SPECIALISTS.values()) == 1
    text = inspect.getmodule(component).__doc__ if alone else ""
    paragraph = " ".join(inspect.cleandoc(text or _doc(component)).split("\n\n")[0].split())
    return paragraph.split(". ")[0].rstrip(".") + "."


def _option(option: Option) -> OptionInfo:
    required = option.default is inspect.Parameter.empty
    return OptionInfo(option.name, type_name(option.annotation), "" if required else _yaml(option.default), required)


def type_name(annotation: Any) -> str:
    """A type without the modules of its parts, such as Mapping[str, float]."""
    if isinstance(annotation, type) and not getattr(annotation, "__args__", None):
        return annotation.__name__.replace("NoneType", "None")
    if get_origin(annotation) is Union:
        return " | ".join(type_name(part) for part in get_args(annotation))
    if get_origin(annotation) is Mapping:
        return f"Mapping[{', '.join(type_name(part) for part in get_args(annotation))}]"
    return str(annotation).replace("collections.abc.", "").replace("typing.", "").replace("NoneType", "None")


def _yaml(value: Any) -> str:
    """A default in YAML."""
    if isinstance(value, tuple | list):
        return "[" + ", ".join(_yaml(item) for item in value) + "]"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_yaml(item)}" for key, item in value.items()) + "}"
    words = {True: "true", False: "false", None: "null", "": "''"}
    return words[value] if isinstance(value, bool | None) or value == "" else str(value)
