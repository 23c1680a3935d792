"""A node before the graph is known: its checked options, and its component, made once to read its declarations.

The keys of a node in a recipe are `use`, the keys in NODE_KEYS, which every node has, and the component's options.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from engine.component import RESOURCES
from engine.config.catalog import check_options, options_of, resolve
from engine.config.own_code import error_with_line
from engine.config.yaml_file import kind_of
from engine.errors import ConfigError, EngineError, unknown
from engine.extras import require
from engine.layout import RESERVED
from engine.licences import STATED, stated
from engine.records.selection import READABLE, check_sql

NODE_KEYS = (*STATED, "where")


@dataclass(slots=True)
class Draft:
    """A node before the graph is known.

    `options`: the worker's options, including values that the component found (`resolved`). `licences`: of the code and
    of the weights.
    """

    name: str
    use: str
    target: str
    component: Any
    options: dict[str, Any]
    instance: Any
    needs: tuple[str, ...]
    uses: tuple[str, ...]
    gives: tuple[str, ...]
    licences: tuple[str, str]
    resolved: Mapping[str, str] = field(default_factory=dict)
    where_sql: str = ""
    where_needs: tuple[str, ...] = ()
    where_reads: dict[str, tuple[str, ...]] = field(default_factory=dict)
    only: str = ""  # a parse node reads only the texts of this node
    inputs: dict[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def place(self) -> str:
        """How messages name the node."""
        return f"annotate.{self.name} ({self.use})"

    @property
    def all_inputs(self) -> dict[str, tuple[str, ...]]:
        """{node: resources} that the component or `where` reads."""
        both = {name: [*self.inputs.get(name, ()), *self.where_reads.get(name, ())] for name in self.inputs}
        both |= {name: list(kinds) for name, kinds in self.where_reads.items() if name not in both}
        return {name: tuple(dict.fromkeys(kinds)) for name, kinds in both.items()}


def make_draft(name: str, options: dict[str, Any], catalog: Mapping[str, str]) -> Draft:
    """Check a node of the recipe and make its component. Removes the keys that every node has from `options`.

    Raises ConfigError for a wrong name, component or option.
    """
    if not name.replace("_", "").replace("-", "").isalnum() or name in RESERVED:
        raise ConfigError(
            f"'{name}' cannot name a node: use letters, digits, '-' and '_', and no name of a folder of the data set."
        )
    if "use" not in options:
        raise ConfigError(f"annotate.{name} lacks 'use': name the component it runs, for example 'use: {name}'.")
    use = str(options.pop("use"))
    licences = {key: _licence(name, key, options.pop(key)) for key in STATED if key in options}
    where = options.pop("where", None)
    target, component = resolve("component", use, catalog)
    for promise in ("needs", "gives", "version", "deterministic"):
        if not hasattr(component, promise):
            raise ConfigError(f"'{use}' is not a specialist: it does not declare '{promise}' (see CONTRIBUTING.md).")
    checked = check_options(f"annotate.{name} ({use})", component, options, others=NODE_KEYS)
    instance = _make(name, use, component, checked)  # `needs` and `gives` may depend on the options
    require(f"annotate.{name} ({use})", getattr(instance, "packages", ()), extra=getattr(instance, "extra", ""))
    needs, uses, gives = (_declared(name, use, instance, promise) for promise in ("needs", "uses", "gives"))
    for kind in (*needs, *uses, *gives):
        if kind not in RESOURCES:
            raise unknown(f"resource declared by '{use}'", kind, RESOURCES)
    draft = Draft(name, use, target, component, checked, instance, needs, uses, gives, stated(instance))
    draft.licences = (licences.get(STATED[0], draft.licences[0]), licences.get(STATED[1], draft.licences[1]))
    _resolve(draft)
    has_weights = bool(stated(instance)[1]) and any(getattr(instance, key, None) for key in ("weights", "resolved"))
    if has_weights and not draft.licences[1].strip():
        raise ConfigError(
            f"annotate.{name}.weights_licence is empty, which means that {use} has no weights: name the licence of its "
            "weights, such as mit or apache-2.0."
        )
    if where is not None:
        _select(draft, where)
    return draft


def _select(draft: Draft, where: Any) -> None:
    """Check `where: {sql: ..., needs: [...]}`, which limits the node to some images.

    The SQL is tried on empty tables.
    """
    expected = "expected sql and needs, as in where: {sql: SELECT image_id FROM texts, needs: [texts]}"
    if not isinstance(where, Mapping) or not isinstance(where.get("sql"), str):
        raise ConfigError(f"annotate.{draft.name}.where lacks its sql: {expected}.")
    for key in where:
        if key not in ("sql", "needs"):
            raise unknown(f"key of annotate.{draft.name}.where", key, ("sql", "needs"))
    needs = where.get("needs", [])
    if not isinstance(needs, list | tuple):
        raise ConfigError(f"annotate.{draft.name}.where.needs is {kind_of(needs)}: {expected}.")
    for kind in needs:
        if kind not in READABLE:
            raise unknown(f"resource in annotate.{draft.name}.where.needs", kind, READABLE)
    parses, replaces = draft.gives == ("parse",), tuple(getattr(draft.component, "replaces", ()))
    if parses or replaces:
        why = "it parses each text once" if parses else f"it replaces the {' and '.join(replaces)} of all images"
        raise ConfigError(f"{draft.place} cannot have `where`, because {why}: leave it out.")
    check_sql(draft.place, where["sql"], needs)
    draft.where_sql, draft.where_needs = where["sql"], tuple(needs)


def _declared(name: str, use: str, instance: Any, promise: str) -> tuple[str, ...]:
    value = getattr(instance, promise, ())
    if not isinstance(value, list | tuple) or not all(isinstance(kind, str) for kind in value):
        raise ConfigError(
            f"annotate.{name} ({use}) declares `{promise}` as {kind_of(value)}, expected a tuple of resources: "
            f'write {promise} = ("pixels",), with the comma.'
        )
    return tuple(value)


def _make(name: str, use: str, component: Any, options: Mapping[str, Any]) -> Any:
    try:
        return component(**options)
    except ConfigError as error:
        raise _of_node(name, use, error) from error
    except (EngineError, KeyboardInterrupt):
        raise
    except BaseException as error:  # foreign code may raise anything, or call sys.exit
        raise ConfigError(f"annotate.{name} ({use}) cannot be created: {error_with_line(error)}.") from error


def _of_node(name: str, use: str, error: ConfigError) -> ConfigError:
    """The same error, with the node in front."""
    message, place = str(error), f"annotate.{name} ({use})"
    if message.startswith(f"{use} "):
        return ConfigError(f"{place}{message.removeprefix(use)}")
    return ConfigError(f"{place}: {message}")


def _resolve(draft: Draft) -> None:
    """Add the values that the component found, such as the commit of a hub id, to its options."""
    try:
        draft.resolved = dict(getattr(draft.instance, "resolved", {}))
    except ConfigError as error:
        raise _of_node(draft.name, draft.use, error) from error
    except (EngineError, KeyboardInterrupt):
        raise
    except BaseException as error:  # foreign code
        raise ConfigError(f"{draft.place} cannot be created: {error_with_line(error)}.") from error
    known = options_of(draft.component)
    for name in draft.resolved:
        if name not in known:
            raise unknown(f"option that {draft.place} resolved", name, known)
    draft.options |= draft.resolved


def _licence(node: str, key: str, value: Any) -> str:
    if not isinstance(value, str):
        raise ConfigError(
            f"annotate.{node}.{key} is {kind_of(value)}, expected the name of a licence, such as mit or apache-2.0."
        )
    return value
