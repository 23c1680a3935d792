"""The data set after the accepted refinement rounds: which nodes it consists of, and which judge is in force.

`standing` finds this from current.json and the committed decisions alone, without training a student.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from engine.keys import stable_hash
from engine.reading.dataset import read_current
from engine.running.graph import Node
from engine.running.progress import NodeTally
from engine.storage.files import Storage
from pipelines.filter.judge import judge_node
from pipelines.recipe import Recipe
from pipelines.refine.nodes import MERGE_VERSION, REFINE_VERSION, RoundNodes, merge_keys, round_nodes
from pipelines.refine.rewrite import rewrite_nodes
from pipelines.refine.round_record import RoundRecord, read_round


@dataclass(slots=True)
class Standing:
    """The data set after the accepted rounds.

    nodes: all nodes of the data set. judge: the judge in force. earlier_judges: the judges whose kept annotations the
    rounds started from. round_nodes: the nodes of the rounds, in graph order. decisions: one for each round, including
    a last round that was refused. notes: sentences for the user. tallies: what the nodes of rounds did in this run.
    """

    nodes: Sequence[Node]
    judge: Node
    earlier_judges: list[Node] = field(default_factory=list)
    round_nodes: list[Node] = field(default_factory=list)
    decisions: list[RoundRecord] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    tallies: dict[str, NodeTally] = field(default_factory=dict)

    @property
    def accepted(self) -> list[RoundRecord]:
        return [record for record in self.decisions if record.accepted]

    @property
    def after_annotation(self) -> list[Node]:
        """The nodes that run after the annotators, in graph order."""
        return [*self.round_nodes, self.judge]

    @property
    def merge(self) -> str:
        """The merge node of the last accepted round, which has decided on regions. '' if no round was accepted."""
        return self.accepted[-1].merge if self.accepted else ""

    def settled(self, recipe: Recipe) -> bool:
        """Whether the rounds are over: enough were accepted, one was refused, or the last changed too little."""
        if not self.decisions:
            return not recipe.refine.rounds
        last = self.decisions[-1]
        little = last.changed_share < recipe.refine.stop_when_changed_below
        return len(self.accepted) >= recipe.refine.rounds or not last.accepted or little

    def with_nodes(self, added: RoundNodes, judge: Node) -> Standing:
        """A copy with the nodes of one more round. `judge` is then in force."""
        return replace(
            self,
            nodes=[*self.nodes, *added.made],
            judge=judge,
            earlier_judges=[*self.earlier_judges, added.given],
            round_nodes=[*self.round_nodes, added.given, *added.made],
            decisions=list(self.decisions),
            notes=list(self.notes),
        )


def standing(storage: Storage, recipe: Recipe, nodes: Sequence[Node], judge: Node) -> Standing:
    """The data set after the rounds that current.json names, up to the first round that does not match.

    A round matches if it was made from these nodes with the settings of this recipe. Each round started from what the
    rules kept at that time, but its results are judged by the current rules.
    """
    now = Standing(nodes, judge)
    for name in current_rounds(storage):
        try:
            record = read_round(storage, name)
        except FileNotFoundError:
            break
        if record.options != options_digest(recipe) or record.base != annotator_keys(nodes):
            break
        if record.round > recipe.refine.rounds:
            break
        if record.accepted:
            now = with_round(recipe, now, record)
        now.decisions.append(record)
        if not record.accepted:
            break
    if now.accepted:
        now.judge = judge_node(recipe, now.nodes, judge.options["surveyed"], now.merge)
    return with_rewritten_texts(recipe, now)


def with_round(recipe: Recipe, now: Standing, record: RoundRecord) -> Standing:
    """The data set after one more round, whether accepted or refused, judged by the current rules."""
    rules_then = recipe.model_copy(update={"filter": record.filter})
    judge_then = judge_node(rules_then, now.nodes, record.surveyed, now.merge)
    after = now.with_nodes(round_nodes(recipe, now.nodes, judge_then, record.round, record.students), now.judge)
    after.judge = judge_node(recipe, after.nodes, now.judge.options["surveyed"], record.merge)
    return after


def with_rewritten_texts(recipe: Recipe, now: Standing) -> Standing:
    """Adds the nodes that write rule-based texts again, from the regions after the last accepted round."""
    again = rewrite_nodes(recipe, now.nodes, now.merge, now.accepted[-1].round) if now.accepted else []
    if not again:
        return now
    nodes = [*now.nodes, *again]
    judge = judge_node(recipe, nodes, now.judge.options["surveyed"], now.merge)
    return replace(now, nodes=nodes, judge=judge, round_nodes=[*now.round_nodes, *again])


def current_rounds(storage: Storage) -> list[str]:
    """Paths of the decisions that current.json names, in the order of the rounds."""
    try:
        names: list[str] = read_current(storage).get("rounds", [])
    except FileNotFoundError:
        return []
    return names


def options_digest(recipe: Recipe) -> str:
    """A hash of every setting that affects the result of a round."""
    refine = recipe.refine.model_dump(mode="json", exclude={"rounds", "stop_when_changed_below"})
    refine["merge"] = merge_keys(recipe)
    train = recipe.train.model_dump(mode="json", exclude={"name", "release", "checkpoint_every", "cpus"})
    pairs = recipe.emit.pairs.model_dump(mode="json", exclude={"tasks"})
    merge = [MERGE_VERSION] if MERGE_VERSION > 1 else []  # 1 is left out: older rounds keep their digest
    return stable_hash(["refine", REFINE_VERSION, refine, train, pairs, *merge])


def annotator_keys(nodes: Sequence[Node]) -> dict[str, str]:
    """{name: key} of the annotating nodes. Nodes of rounds are left out."""
    return {node.name: node.key for node in nodes if not node.name.startswith("round-")}
