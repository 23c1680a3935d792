"""Where the images of a release come from and what made its annotations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from engine.licences import OWN, UNKNOWN
from engine.reading.release_manifest import Manifest, ReleaseNode, ReleaseRound
from pipelines.emit.markdown import code, counted, escape, fenced, listed, several, table
from pipelines.emit.source_names import released_recipe
from pipelines.recipe import Recipe

_ROWS = 30  # of a table of sources or licences


def origin(manifest: Manifest) -> str:
    figures = manifest.get("figures")
    if not figures or not manifest["counts"].get("images"):
        return ""
    sources = counted(("source", "images"), figures["sources"], _ROWS)
    licences = counted(("licence of the image", "images"), figures["licences"], _ROWS)
    return f"""\
## Where the images come from

An image that is in several sources counts in each of them.

{sources}

The licence of each image is in its field `licence`, as its source states it.

{licences}"""


def making(manifest: Manifest) -> str:
    """Nodes, licences of code and weights, rounds and the recipe."""
    nodes = manifest["nodes"]
    parts = ["## How it was made"]
    if nodes:
        parts += [
            _NODES,
            table(("node", "component", "version", "key", "code", "weights", "commit"), map(_node, nodes)),
        ]
        parts.append(_licences(nodes))
    parts += [_rounds(manifest.get("rounds", []), manifest), _recipe(manifest["recipe"])]
    return "\n\n".join(filter(None, parts))


_NODES = """\
Each annotation names the node that made it in its field `producer`. The columns `code` and `weights` are the licences.
The key is the start of a hash of everything that affects the answers of the node."""


def _node(node: ReleaseNode) -> Sequence[str]:
    resolved = ", ".join(f"{escape(name)} {code(value)}" for name, value in sorted(node.get("resolved", {}).items()))
    made = (escape(node["name"]), code(node["component"]), str(node["version"]), code(node["key"][:8]))
    return (*made, escape(node["code_licence"]), escape(node["weights_licence"]) or "no weights", resolved)


def _licences(nodes: Sequence[ReleaseNode]) -> str:
    """Numbers of components by licence. A component in several nodes counts once."""
    components = {(node["component"], node["code_licence"], node["weights_licence"]) for node in nodes}
    of_code = Counter(licence for _, licence, _ in components)
    of_weights = Counter(licence for _, _, licence in components if licence)
    rows = [(_licence(name), f"{of_code[name]:,}", f"{of_weights[name]:,}") for name in sorted({*of_code, *of_weights})]
    return table(("licence", "components with such code", "with such weights"), rows)


def _licence(name: str) -> str:
    return {UNKNOWN: "not stated", OWN: "trained for this data set"}.get(name, escape(name))


def _rounds(rounds: Sequence[ReleaseRound], manifest: Manifest) -> str:
    if not rounds:
        return ""
    rows = []
    for one in rounds:
        changes = ", ".join(f"{escape(rule)} {number:,}" for rule, number in sorted(one["changes"].items()) if number)
        decision = "accepted" if one["accepted"] else f"refused: {escape('; '.join(one['reasons']))}"
        students = ", ".join(code(name) for name in one["students"])
        rows.append((str(one["round"]), decision, f"{one['changed']:.1%}", changes, students))
    options = manifest["recipe"].get("refine", {})
    tasks = listed([code(task) for task in options.get("tasks", [])])
    return f"""\
### Rounds of refinement

In each round, {several(int(options.get("folds", 1)), "student model was", "student models were")} trained on the kept \
annotations (tasks: {tasks}) and then corrected them. A gate accepts or refuses the result.

{table(("round", "decision", "changed", "changes by rule", "students"), rows)}"""


def _recipe(given: Mapping[str, Any]) -> str:
    shown = shown_recipe(given)
    if not shown:
        return ""
    text = yaml.safe_dump(shown, sort_keys=False, allow_unicode=True, width=110)
    return f"""\
### Recipe

Without the options that are at their defaults. `manifest.json` has all of them. Paths are shortened to their last part.

{fenced(text, "yaml")}"""


def shown_recipe(given: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a recipe that differ from their defaults, without the section `run`, which changes no result."""
    usual = Recipe(dataset="-").model_dump(mode="json")
    given = released_recipe({key: value for key, value in given.items() if key != "run"})
    return _changed(given, usual)


def _changed(given: Mapping[str, Any], usual: Mapping[str, Any]) -> dict[str, Any]:
    changed = {}
    for key, value in given.items():
        default = usual.get(key)
        if value == default and key in usual:
            continue
        changed[key] = _changed(value, default) if isinstance(value, Mapping) and default else value
    return changed
