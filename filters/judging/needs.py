"""What a rule cannot do without and its signature does not say: scores of a name, several detectors.

A recipe that has the rule and lacks these is refused before anything runs (pipelines/filter/rule_needs.py). Columns,
the parse and the survey are seen in the signature and need no word here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar


@dataclass(frozen=True, slots=True)
class Given:
    """What the nodes of a recipe give.

    scores: {name of an image score: nodes that give it}. other_scores: nodes that give scores and do not declare their
    names (`score_names`), which may be any. detectors: nodes whose boxes a region can be made of.
    """

    scores: Mapping[str, tuple[str, ...]]
    other_scores: tuple[str, ...] = ()
    detectors: tuple[str, ...] = ()

    def has_score(self, name: str) -> bool:
        return name in self.scores or bool(self.other_scores)


# What is lacking and what to add, '' for nothing; of what is given and the rule's options, defaults included.
Need = Callable[[Given, Mapping[str, Any]], str]
_Rule = TypeVar("_Rule", bound=Callable[..., Any])


def needs(need: Need) -> Callable[[_Rule], _Rule]:
    """Declares what a rule needs."""

    def declared(rule: _Rule) -> _Rule:
        vars(rule)["need"] = need
        return rule

    return declared


def need_of(rule: Callable[..., Any]) -> Need | None:
    need: Need | None = getattr(rule, "need", None)
    return need


def score(name: str, *, add: str) -> Need:
    """The need for image scores of one name; `add`: the node that gives them, as a recipe writes it."""

    def lacking(given: Given, options: Mapping[str, Any]) -> str:
        return "" if given.has_score(name) else f"reads the score '{name}', which no node gives: add '{add}'"

    return lacking
