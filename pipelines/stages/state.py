"""The state of a data set under a recipe: its annotation nodes, its judge, and the accepted rounds of refinement.

It is computed from the recipe and the commits. A stage reads it once and passes it on. After commits that it depends on
(new images, a finished whole-set pass) the next stage takes `renewed()`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from engine.errors import ConfigError
from engine.layout import IMAGES, INPUTS, JUDGE, JUDGE_REGIONS, SURVEY
from engine.running.graph import Node, split_at_judge
from engine.running.plan import make_plan
from engine.storage.commits import Commits
from engine.storage.files import Storage
from pipelines.annotate.annotation_nodes import annotation_nodes
from pipelines.filter.judge import judge_node, rules_of
from pipelines.filter.rule_needs import check_rules
from pipelines.filter.survey import survey_node
from pipelines.filter.whole_set import surveyed_folder
from pipelines.recipe import Recipe
from pipelines.refine.standing import Standing, standing

_STAGE_OF = {JUDGE: "filter", SURVEY: "filter", JUDGE_REGIONS: "filter"}


@dataclass(frozen=True)
class State:
    """The nodes and rounds. `judge` and `rounds` are computed when they are first read, and then kept.

    `annotators`: the nodes of the recipe's section `annotate`, in graph order. `whole_set`: the node that reads each
    shard for rules about the whole data set; None if no rule needs it.
    """

    storage: Storage
    recipe: Recipe
    annotators: Sequence[Node]
    whole_set: Node | None

    @cached_property
    def judge(self) -> Node:
        """The judge of what the annotators made, before any round."""
        folder = surveyed_folder(self.storage, self.whole_set) if self.whole_set else ""
        return judge_node(self.recipe, self.annotators, folder)

    @cached_property
    def rounds(self) -> Standing:
        """The data set after the accepted rounds: its nodes and its judge."""
        return standing(self.storage, self.recipe, self.annotators, self.judge)

    @property
    def whole_set_nodes(self) -> list[Node]:
        return [self.whole_set] if self.whole_set else []

    @property
    def before_regions_are_judged(self) -> list[Node]:
        """The annotators whose input no rule affects."""
        return split_at_judge(self.annotators)[0]

    @property
    def after_regions_are_judged(self) -> list[Node]:
        """The judge of regions, and the annotators that read kept regions."""
        return split_at_judge(self.annotators)[1]

    def renewed(self) -> State:
        """A state with the same nodes, whose judge and rounds are computed again."""
        return State(self.storage, self.recipe, self.annotators, self.whole_set)

    def needs_rounds(self, stage: str | None) -> bool:
        """Whether this stage tries a round. None stands for all stages."""
        return stage == "refine" or (stage is None and not self.rounds.settled(self.recipe))


def read_state(storage: Storage, recipe: Recipe) -> State:
    """The state. Raises ConfigError for an unknown component, rule or option, and for a rule whose input is missing."""
    nodes = annotators(recipe)
    check_rules(rules_of(recipe), nodes)
    return State(storage, recipe, nodes, survey_node(recipe, nodes))


def annotators(recipe: Recipe) -> list[Node]:
    """The recipe's annotation nodes. If none of them reads pixels, the node `decodes` comes first."""
    nodes = annotation_nodes(recipe)
    if not any("pixels" in node.needs for node in nodes):
        # Without this node, an image that cannot be decoded would be released.
        check = annotation_nodes(recipe.model_copy(update={"annotate": {"decodes": {"use": "decodes"}}}))
        nodes = [*check, *nodes]
    return nodes


def require_inputs(storage: Storage) -> None:
    if not len(Commits(storage, IMAGES).revisions()) and not len(Commits(storage, INPUTS).revisions()):
        raise ConfigError(f"'{storage.url}' holds no images yet: run --stage ingest first, or leave --stage out.")


def require(storage: Storage, nodes: Sequence[Node], stage: str, known: Sequence[Node] = ()) -> None:
    """Raises ConfigError if a node that `stage` reads has missing or outdated shards.

    `known`: nodes that those nodes read.
    """
    plan = make_plan(storage, nodes, known)
    for name, missing in plan.todo().items():
        if missing.any():
            node = plan.known[name]
            raise ConfigError(
                f"--stage {stage} lacks {int(missing.sum())} of {plan.shards} shards of '{name}' ({node.folder}): "
                f"run --stage {_STAGE_OF.get(name, 'annotate')} first, or leave --stage out."
            )
