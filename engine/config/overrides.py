"""`--set a.b=value`: one key of a recipe's data changed before it is checked.

Nothing is made by a slip of the pen: a node or a rule that the recipe does not have is an error with the nearest name,
except `annotate.NAME.use=COMPONENT` (or `annotate.NAME={use: ..}`), which adds a node.
"""

from __future__ import annotations

from typing import Any

from engine.config.yaml_file import kind_of, parse_yaml
from engine.errors import ConfigError, unknown

_LISTS = (("filter",), ("ingest", "sources"))


def apply_setting(data: dict[str, Any], setting: str) -> None:
    """Change `data` in place; ConfigError where the path leads nowhere or the value is not YAML."""
    path, sign, value = setting.partition("=")
    setting = setting if len(setting) <= 80 else f"{setting[:77]}..."
    names = tuple(path.split("."))
    if not sign or not all(name.strip() for name in names):
        raise ConfigError(f"--set takes key.path=value, not '{setting}'.")
    if not value.strip():
        raise ConfigError(f"--set {setting} gives no value: write {path}=\"''\" for an empty text, or {path}=null.")
    given, _ = parse_yaml(value, f"The value of --set {setting}")
    place: Any = data
    for depth in range(len(names) - 1):
        place = _inside(place, names, depth, setting)
    _put(place, names, given, setting)


def _inside(place: Any, names: tuple[str, ...], depth: int, setting: str) -> Any:
    """What names[depth] leads to; a section that is not there yet is made, a node is not."""
    name, trail = names[depth], names[: depth + 1]
    if isinstance(place, list):
        return _inside_entry(place, names, depth, setting)
    if name not in place and trail[:-1] == ("annotate",) and names[depth + 1 :] != ("use",):
        raise unknown(f"node in --set {setting}", name, place)
    if place.get(name) is None:
        place[name] = [] if trail in _LISTS else {}
    if not isinstance(place[name], dict | list):
        raise ConfigError(f"--set {setting}: '{'.'.join(trail)}' is {kind_of(place[name])}, which has no keys inside.")
    return place[name]


def _inside_entry(place: list[Any], names: tuple[str, ...], depth: int, setting: str) -> Any:
    """The options of a rule, by its name or its position; or another list's entry at a position."""
    name = names[depth]
    at = _position(place, name, setting)
    if names[0] == "filter" and isinstance(place[at], str):
        place[at] = {place[at]: {}}
    entry = place[at]
    rule = name
    if names[0] == "filter" and isinstance(entry, dict) and len(entry) == 1 and names[depth + 1] not in entry:
        rule = next(iter(entry))
    if isinstance(entry, dict) and rule in entry:
        entry[rule] = {} if entry[rule] is None else entry[rule]
        entry = entry[rule]
    if not isinstance(entry, dict | list):
        raise ConfigError(f"--set {setting}: entry '{name}' is {kind_of(entry)}, which has no keys inside.")
    return entry


def _put(place: Any, names: tuple[str, ...], given: Any, setting: str) -> None:
    name = names[-1]
    if isinstance(place, list):
        at = _position(place, name, setting)
        if place[at] == name:
            place[at] = {name: given}
        elif isinstance(place[at], dict) and name in place[at]:
            place[at][name] = given
        else:
            place[at] = given
        return
    if names[:-1] == ("annotate",) and name not in place and not (isinstance(given, dict) and "use" in given):
        raise unknown(f"node in --set {setting}", name, place)
    place[name] = given


def _position(place: list[Any], name: str, setting: str) -> int:
    """A list is addressed by position, or, for filters, by the rule's name."""
    for position, item in enumerate(place):
        if item == name or (isinstance(item, dict) and name in item):
            return position
    if name.isdecimal() and len(name) < 7:
        if int(name) < len(place):
            return int(name)
        there = f"positions 0 to {len(place) - 1}" if place else "no entries"
        raise ConfigError(f"--set {setting}: there is no entry {name}; the list has {there}.")
    names = [str(next(iter(item), "")) if isinstance(item, dict) else str(item) for item in place]
    raise unknown(f"entry in --set {setting}", name, names)
