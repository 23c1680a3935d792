"""The data set as the refinement rounds that were accepted leave it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from engine.running.graph import Node
from engine.running.progress import NodeTally
from pipelines.filter.judge import judge_node
from pipelines.recipe import Recipe
from pipelines.refine.rewrite import written_again

Told = dict[str, Any]  # a committed decision


@dataclass(slots=True)
class Standing:
    """The data set after the rounds that were accepted.

    `nodes` make it up and `judge` judges it; `known` are what rounds read besides. `rounds`: what each round is made
    of, in graph order. `told`: decisions, also a last one that refused. `notes`: what a person should read.
    `tallies`: what nodes of rounds have done.
    """

    nodes: Sequence[Node]
    judge: Node
    known: list[Node] = field(default_factory=list)
    rounds: list[Node] = field(default_factory=list)
    told: list[Told] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    tallies: dict[str, NodeTally] = field(default_factory=dict)

    @property
    def accepted(self) -> list[Told]:
        return [told for told in self.told if told["accepted"]]

    @property
    def rest(self) -> list[Node]:
        """What is to be done once all have annotated, in graph order."""
        return [*self.rounds, self.judge]

    def settled(self, recipe: Recipe) -> bool:
        """Whether no other round is to be tried: there are enough, one was refused, or the last one changed little."""
        if not self.told:
            return not recipe.refine.rounds
        last = self.told[-1]
        few = changed_share(last) < recipe.refine.stop_when_changed_below
        return len(self.accepted) >= recipe.refine.rounds or not last["accepted"] or few

    @property
    def merge(self) -> str:
        """The node that has decided of regions already; '' before the first round."""
        return self.accepted[-1]["merge"] if self.accepted else ""


def changed_share(told: Told) -> float:
    """The share of regions that a round changed, or of texts, if that is larger."""
    regions, texts = (told["measures"].get(name) or 0.0 for name in ("changed", "texts changed"))
    return float(max(regions, texts))


def finished(recipe: Recipe, now: Standing) -> Standing:
    """The data set with what is written by rule as it is of the regions that the last round leaves."""
    again = written_again(recipe, now.nodes, now.merge, now.accepted[-1]["round"]) if now.accepted else []
    if not again:
        return now
    nodes = [*now.nodes, *again]
    judge = judge_node(recipe, nodes, now.judge.options["surveyed"], now.merge)
    return replace(now, nodes=nodes, judge=judge, rounds=[*now.rounds, *again])
