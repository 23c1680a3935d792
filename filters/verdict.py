"""Verdict, the result of a rule, and functions that read a rule's signature.

A rule is a function. The name of its first parameter is the column that the rule judges: images, texts, regions,
region_texts, phrases, tags or image_scores. Its other positional parameters are further columns that it reads. Its
keyword-only parameters are its options.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, get_type_hints

import numpy as np

from engine.errors import ConfigError, unknown
from engine.records.columns import VIEWS, ParsedTexts, SemanticImages, WholeSetImages
from engine.records.shard import Bools, Floats, Numbers


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of one check of a rule, with one entry for each judged row. `keep`: whether the row is kept. `rule`:
    the name of the check. `value`, `threshold`: the numbers that were compared; NaN if there are none.

    A rule with several checks returns several verdicts, named "rule.part". The first verdict that rejects a row is
    given as the reason.
    """

    keep: Bools
    rule: str
    value: Numbers | float = np.nan
    threshold: Numbers | float = np.nan


Rule = Callable[..., Verdict | Sequence[Verdict]]
_R = TypeVar("_R", bound=Rule)


@functools.cache
def reads(rule: Rule) -> tuple[str, ...]:
    """The names of the columns that a rule reads. The first is the column that it judges."""
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    names = tuple(p.name for p in inspect.signature(rule).parameters.values() if p.kind in kinds)
    if not names:
        raise ConfigError(
            f"Filter {_name(rule)} has no column to judge: its first parameter must be one of {', '.join(VIEWS)}."
        )
    for name in names:
        if name not in VIEWS:
            raise unknown(f"column in the signature of filter {_name(rule)}", name, VIEWS)
    return names


@functools.cache
def needs_parse(rule: Rule) -> bool:
    """Whether a rule reads parsed texts: it has a parameter of type ParsedTexts."""
    return _declares(rule, ParsedTexts)


@functools.cache
def needs_whole_set(rule: Rule) -> bool:
    """Whether a rule reads columns that are computed over the whole data set: hashes or embeddings."""
    return needs_hashes(rule) or needs_embeddings(rule)


@functools.cache
def needs_hashes(rule: Rule) -> bool:
    """Whether a rule compares perceptual hashes: it has a parameter of type WholeSetImages."""
    return _declares(rule, WholeSetImages)


@functools.cache
def needs_embeddings(rule: Rule) -> bool:
    """Whether a rule compares embeddings: it has a parameter of type SemanticImages."""
    return _declares(rule, SemanticImages)


def _declares(rule: Rule, kind: type) -> bool:
    hints = get_type_hints(rule)
    return any(hints.get(name) is kind for name in reads(rule))


def _name(rule: Rule) -> str:
    return f"'{getattr(rule, '__name__', rule)}'"


def applied_later(*options: str) -> Callable[[_R], _R]:
    """Decorator: declares options on which the pass over the whole data set does not depend. Changing such an option
    does not repeat the pass.
    """

    def declared(rule: _R) -> _R:
        vars(rule)["applied_later"] = options
        return rule

    return declared


def options_of_pass(rule: Rule, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options on which the pass over the whole data set depends."""
    later = getattr(rule, "applied_later", ())
    return {name: value for name, value in options.items() if name not in later}


def at_least(value: Floats, floor: Floats, rule: str) -> Verdict:
    """A verdict that keeps values of at least `floor`. NaN (a text that could not be parsed) is not kept."""
    return Verdict(value >= floor, rule, value, floor)


def at_most(value: Floats, ceiling: Floats, rule: str) -> Verdict:
    """A verdict that keeps values of at most `ceiling`. NaN is not kept."""
    return Verdict(value <= ceiling, rule, value, ceiling)
