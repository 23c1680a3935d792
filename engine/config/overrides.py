"""`--set a.b=value`: changes one key of a recipe before the recipe is checked.

If the recipe does not have the node or rule, an error names the nearest one, so a typo cannot add a new node. Only
`annotate.NAME.use=COMPONENT` and `annotate.NAME={use: ..}` add a node.
"""

from __future__ import annotations

from typing import Any

from engine.config.yaml_file import kind_of, parse_yaml
from engine.errors import ConfigError, unknown

_LISTS = (("filter",), ("ingest", "sources"))


def apply_setting(data: dict[str, Any], setting: str) -> None:
    """Change one value of the recipe `data`. `setting`: "key.path=value".

    Raises ConfigError if the path does not exist or the value is not YAML.
    """
    path, sign, value = setting.partition("=")
    setting = setting if len(setting) <= 80 else f"{setting[:77]}..."
    names = tuple(path.split("."))
    if not sign or not all(name.strip() for name in names):
        raise ConfigError(f"--set takes key.path=value, not '{setting}'.")
    if not value.strip():
        raise ConfigError(f"--set {setting} gives no value: write {path}=\"''\" for an empty text, or {path}=null.")
    given, _ = parse_yaml(value, f"The value of --set {setting}")
    target: Any = data
    for depth in range(len(names) - 1):
        target = _inside(target, names, depth, setting)
    _put(target, names, given, setting)


def _inside(target: Any, names: tuple[str, ...], depth: int, setting: str) -> Any:
    """The value of the key names[depth] in `target`. Adds a missing section. Raises ConfigError for a missing node."""
    name, trail = names[depth], names[: depth + 1]
    if isinstance(target, list):
        return _inside_entry(target, names, depth, setting)
    if name not in target and trail[:-1] == ("annotate",) and names[depth + 1 :] != ("use",):
        raise unknown(f"node in --set {setting}", name, target)
    if target.get(name) is None:
        target[name] = [] if trail in _LISTS else {}
    if not isinstance(target[name], dict | list):
        raise ConfigError(f"--set {setting}: '{'.'.join(trail)}' is {kind_of(target[name])}, which has no keys inside.")
    return target[name]


def _inside_entry(target: list[Any], names: tuple[str, ...], depth: int, setting: str) -> Any:
    """The entry of the list `target` that names[depth] selects. For a rule in `filter`, the options of the rule.

    A rule is selected by its name or its position, an entry of any other list by its position.
    """
    name = names[depth]
    at = _position(target, name, setting)
    if names[0] == "filter" and isinstance(target[at], str):
        target[at] = {target[at]: {}}
    entry = target[at]
    rule = name
    if names[0] == "filter" and isinstance(entry, dict) and len(entry) == 1 and names[depth + 1] not in entry:
        rule = next(iter(entry))
    if isinstance(entry, dict) and rule in entry:
        entry[rule] = {} if entry[rule] is None else entry[rule]
        entry = entry[rule]
    if not isinstance(entry, dict | list):
        raise ConfigError(f"--set {setting}: entry '{name}' is {kind_of(entry)}, which has no keys inside.")
    return entry


def _put(target: Any, names: tuple[str, ...], given: Any, setting: str) -> None:
    name = names[-1]
    if isinstance(target, list):
        at = _position(target, name, setting)
        if target[at] == name:
            target[at] = {name: given}
        elif isinstance(target[at], dict) and name in target[at]:
            target[at][name] = given
        else:
            target[at] = given
        return
    if names[:-1] == ("annotate",) and name not in target and not (isinstance(given, dict) and "use" in given):
        raise unknown(f"node in --set {setting}", name, target)
    target[name] = given


def _position(target: list[Any], name: str, setting: str) -> int:
    """The position of an entry in a list. `name`: the position as text; in `filter` also the name of a rule."""
    for position, item in enumerate(target):
        if item == name or (isinstance(item, dict) and name in item):
            return position
    if name.isdecimal() and len(name) < 7:
        if int(name) < len(target):
            return int(name)
        there = f"positions 0 to {len(target) - 1}" if target else "no entries"
        raise ConfigError(f"--set {setting}: there is no entry {name}; the list has {there}.")
    names = [str(next(iter(item), "")) if isinstance(item, dict) else str(item) for item in target]
    raise unknown(f"entry in --set {setting}", name, names)
