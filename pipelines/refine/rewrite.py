"""What is written by rule, written again from the regions as the last refinement round leaves them.

Captions from before a round count and name what it has changed. Where students write texts too, these stand and
nothing is written again: what names a region that was dropped or renamed is dropped with it
(filters/judging/apply_rules.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from engine.keys import stable_hash
from engine.running.graph import Node, split_at_judge
from pipelines.filter.judge_regions import region_judge
from pipelines.recipe import Recipe
from pipelines.refine.nodes import REPLACES, written

AGAIN_VERSION = 1


def written_again(recipe: Recipe, nodes: Sequence[Node], merge: str, number: int) -> list[Node]:
    """The judge of the regions that the node `merge` leaves, and those who write of what it keeps, in graph order.

    `nodes`: what makes up the data set, rounds included; `number`: of the last round.
    """
    _, writers = split_at_judge([node for node in nodes if not node.name.startswith("round-")])
    if not writers or written(recipe):
        return []
    old, made = {node.name: node for node in nodes}, dict[str, Node]()
    read = [old[merge], *(old[name] for name, kinds in writers[0].inputs.items() if _own(kinds))]
    made[writers[0].name] = region_judge(recipe, read, name=f"round-{number}-{writers[0].name}", decided=merge)
    for writer in writers[1:]:
        inputs: dict[str, tuple[str, ...]] = {}
        for name, kinds in writer.inputs.items():
            if name in made:
                inputs[made[name].name] = kinds
                continue
            if kept := _own(kinds):
                inputs[name] = kept
            if moved := tuple(kind for kind in kinds if kind not in kept):
                inputs[merge] = tuple(dict.fromkeys((*inputs.get(merge, ()), *moved)))
        known = old | {node.name: node for node in made.values()}
        key = stable_hash(["again", AGAIN_VERSION, writer.key, {name: known[name].key for name in inputs}])
        name = f"round-{number}-{writer.name}"
        made[writer.name] = replace(writer, name=name, key=key, inputs=inputs, stands_for=writer.name)
    return list(made.values())


def _own(kinds: Sequence[str]) -> tuple[str, ...]:
    """Those that a node still gives itself after a round, which re-emits the others."""
    return tuple(kind for kind in kinds if kind not in REPLACES)
