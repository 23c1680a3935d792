"""Nodes that write the rule-based texts again, from the regions after the last refinement round.

Captions from before a round name and count regions that the round may have changed. If students write texts in the
round, nothing is written again. A text that names a dropped or renamed region is then dropped with it
(filters/judging/apply_rules.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from engine.keys import stable_hash
from engine.running.graph import Node, split_at_judge
from pipelines.filter.judge_regions import region_judge
from pipelines.recipe import Recipe
from pipelines.refine.nodes import REPLACES, text_tasks

AGAIN_VERSION = 1


def rewrite_nodes(recipe: Recipe, nodes: Sequence[Node], merge: str, number: int) -> list[Node]:
    """The judge of the merged regions, then the writers that read kept regions. [] if there is no writer.

    `nodes`: all nodes of the data set, including those of rounds. `merge`: the merge of the last round. `number`: the
    last round.
    """
    _, writers = split_at_judge([node for node in nodes if not node.name.startswith("round-")])
    if not writers or text_tasks(recipe):
        return []
    by_name, made = {node.name: node for node in nodes}, dict[str, Node]()
    read = [by_name[merge], *(by_name[name] for name, kinds in writers[0].inputs.items() if _own(kinds))]
    made[writers[0].name] = region_judge(recipe, read, name=f"round-{number}-{writers[0].name}", decided=merge)
    for writer in writers[1:]:
        inputs: dict[str, tuple[str, ...]] = {}
        for name, kinds in writer.inputs.items():
            if name in made:
                inputs[made[name].name] = kinds
                continue
            own = _own(kinds)
            if own:
                inputs[name] = own
            if from_merge := tuple(kind for kind in kinds if kind not in own):
                inputs[merge] = tuple(dict.fromkeys((*inputs.get(merge, ()), *from_merge)))
        known = by_name | {node.name: node for node in made.values()}
        key = stable_hash(["again", AGAIN_VERSION, writer.key, {name: known[name].key for name in inputs}])
        name = f"round-{number}-{writer.name}"
        made[writer.name] = replace(writer, name=name, key=key, inputs=inputs, stands_for=writer.name)
    return list(made.values())


def _own(kinds: Sequence[str]) -> tuple[str, ...]:
    """The resources that are still read from the node itself. All others are now read from the merge of the round."""
    return tuple(kind for kind in kinds if kind not in REPLACES)
