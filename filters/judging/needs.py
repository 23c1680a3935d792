"""Requirements of a rule that its signature does not show: certain scores, several detectors, or embeddings.

pipelines/filter/rule_needs.py checks them before a run. Requirements that the signature shows are not declared here:
columns, parsed texts, and columns over the whole data set.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from engine.errors import ConfigError, unknown


@dataclass(frozen=True, slots=True)
class Given:
    """The outputs of a recipe's nodes that rules may require.

    scores: {name of an image score: nodes that produce it}. other_scores: nodes that produce image scores without
    declaring `score_names`, so their scores may have any name. detectors: nodes that produce boxes. embedders: nodes
    that produce embeddings.
    """

    scores: Mapping[str, tuple[str, ...]]
    other_scores: tuple[str, ...] = ()
    detectors: tuple[str, ...] = ()
    embedders: tuple[str, ...] = ()

    def has_score(self, name: str) -> bool:
        return name in self.scores or bool(self.other_scores)


# Takes the nodes' outputs and the rule's options (defaults included). Returns what is missing and what to add, or ''.
Need = Callable[[Given, Mapping[str, Any]], str]
_Rule = TypeVar("_Rule", bound=Callable[..., Any])


def needs(need: Need) -> Callable[[_Rule], _Rule]:
    """Decorator: declares a requirement of a rule."""

    def declared(rule: _Rule) -> _Rule:
        vars(rule)["need"] = need
        return rule

    return declared


def need_of(rule: Callable[..., Any]) -> Need | None:
    need: Need | None = getattr(rule, "need", None)
    return need


def score(name: str, *, add: str) -> Need:
    """Requires image scores of this name. `add`: the recipe line that adds a node for them; errors quote it."""

    def missing(given: Given, options: Mapping[str, Any]) -> str:
        return "" if given.has_score(name) else f"reads the score '{name}', which no node gives: add '{add}'"

    return missing


def embeddings(given: Given, options: Mapping[str, Any]) -> str:
    """Requires embeddings of one node: the node that the option `producer` names, or else the only node that gives
    them. Returns what is missing, or ''. Raises ConfigError if several nodes give embeddings and `producer` is empty.
    """
    producer = options["producer"]
    if not given.embedders:
        return "compares embeddings, which no node gives: add 'embed: {use: embed, checkpoint: ..}'"
    if producer and producer not in given.embedders:
        raise unknown("node with embeddings", producer, given.embedders)
    if not producer and len(given.embedders) > 1:
        first, *others = given.embedders
        raise ConfigError(
            f"semantic_duplicate compares the embeddings of one node, but {first} and {', '.join(others)} give them: "
            f"add 'producer: {first}' to its options."
        )
    return ""
