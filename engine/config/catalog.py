"""Finds the component that a recipe names, and checks its options.

A name is a "module:Name", or a key of a catalog, which maps names to "module:Name". The module is imported when the
name is used. Options are the keyword-only parameters of the constructor; for filters, of the function. They are
checked before weights are loaded.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, get_type_hints

from engine.config.own_code import import_module
from engine.config.values import WrongKind, check_kinds, explain
from engine.config.yaml_file import kind_of
from engine.errors import ConfigError, unknown


@dataclass(frozen=True, slots=True)
class Option:
    """One option of a component.

    `annotation`: its type. `kind`: its type together with its range (engine/config/ranges.py).
    """

    name: str
    annotation: Any
    default: Any  # inspect.Parameter.empty if it is required
    kind: Any


def resolve(kind: str, name: str, catalog: Mapping[str, str]) -> tuple[str, Any]:
    """Find a component by its name in the catalog, or by its "module:Name". Returns ("module:Name", the component)."""
    target = catalog.get(name, name)
    module_name, colon, attribute = target.partition(":")
    if not colon:
        raise unknown(kind, name, catalog)
    if not module_name or not attribute or module_name.startswith("."):
        raise ConfigError(f"The {kind} '{name}' is not a module:Name, such as my_module:MyClass.")
    module = import_module(kind, name, module_name)
    found = getattr(module, attribute, None)
    if found is None:
        raise unknown(f"{kind} in '{module_name}'", attribute, [key for key in vars(module) if not key.startswith("_")])
    if not callable(found):
        raise ConfigError(f"'{name}' is {kind_of(found)}, not a {kind}: name a class or a function.")
    return target, found


def options_of(component: Any) -> dict[str, Option]:
    """The options that a recipe may set for a component, by name."""
    function = component.__init__ if inspect.isclass(component) else component
    try:
        hints, kinds = get_type_hints(function), get_type_hints(function, include_extras=True)
    except (NameError, TypeError, AttributeError, SyntaxError) as error:
        raise ConfigError(
            f"The annotations of '{component.__module__}:{component.__name__}' cannot be read: {error}."
        ) from error
    return {
        parameter.name: Option(
            parameter.name, hints.get(parameter.name, Any), parameter.default, kinds.get(parameter.name, Any)
        )
        for parameter in inspect.signature(function).parameters.values()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    }


def defaults_of(component: Any) -> dict[str, Any]:
    return {
        name: option.default
        for name, option in options_of(component).items()
        if option.default is not inspect.Parameter.empty
    }


def check_options(where: str, component: Any, given: Mapping[str, Any], others: Iterable[str] = ()) -> dict[str, Any]:
    """The given options, converted to their types.

    `others`: further keys that may stand beside the options, to be proposed for an unknown one. Raises ConfigError for
    the first option that is unknown, missing or of the wrong type.
    """
    from pydantic import PydanticUserError, TypeAdapter, ValidationError

    known = options_of(component)
    checked: dict[str, Any] = {}
    for name, value in given.items():
        if name not in known:
            raise unknown(f"option of {where}", name, [*known, *others])
        try:
            checked[name] = TypeAdapter(known[name].kind).validate_python(value)
            check_kinds(value, checked[name])
        except ValidationError as error:
            path, _, message = explain(error, value)
            raise ConfigError(f"Option '{'.'.join([name, *path])}' of {where} is {message}.") from error
        except PydanticUserError as error:
            kind = known[name].annotation
            raise ConfigError(f"Option '{name}' of {where} has the type {kind}, which a recipe cannot give.") from error
        except WrongKind as error:
            raise ConfigError(f"Option '{'.'.join([name, *error.path])}' of {where} is {error}.") from error
    for name, option in known.items():
        if option.default is inspect.Parameter.empty and name not in given:
            raise ConfigError(f"{where} needs the option '{name}': give it in the recipe.")
    return checked
