"""What a rule answers, and what the engine may ask of a rule.

A rule is a function. Its first parameter's name says what it judges (images, texts, regions, region_texts,
phrases, tags, image_scores), further positional ones are columns it reads; keyword-only ones are its options.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import get_type_hints

import numpy as np

from engine.errors import ConfigError, unknown
from engine.records.columns import VIEWS, ParsedTexts, SurveyedImages
from engine.records.shard import Bools, Floats, Numbers


@dataclass(frozen=True, slots=True)
class Verdict:
    """One entry a row of what was judged. `value` and `threshold` are what the rule compared, NaN for nothing.

    A rule that checks several things returns several verdicts, named "rule.part"; the first that rejects a
    row is the reason.
    """

    keep: Bools
    rule: str
    value: Numbers | float = np.nan
    threshold: Numbers | float = np.nan


Rule = Callable[..., Verdict | Sequence[Verdict]]


@functools.cache
def reads(rule: Rule) -> tuple[str, ...]:
    """The columns a rule is given, first the one it judges."""
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    names = tuple(p.name for p in inspect.signature(rule).parameters.values() if p.kind in kinds)
    if not names:
        raise ConfigError(
            f"Filter {_name(rule)} judges nothing: its first parameter must be one of {', '.join(VIEWS)}."
        )
    for name in names:
        if name not in VIEWS:
            raise unknown(f"column in the signature of filter {_name(rule)}", name, VIEWS)
    return names


@functools.cache
def needs_parse(rule: Rule) -> bool:
    """Whether a rule reads what the parse says of texts: one of its columns is declared ParsedTexts."""
    return _declares(rule, ParsedTexts)


@functools.cache
def needs_survey(rule: Rule) -> bool:
    """Whether a rule reads what a survey of the whole data set found: one of its columns is SurveyedImages."""
    return _declares(rule, SurveyedImages)


def _declares(rule: Rule, kind: type) -> bool:
    hints = get_type_hints(rule)
    return any(hints.get(name) is kind for name in reads(rule))


def _name(rule: Rule) -> str:
    return f"'{getattr(rule, '__name__', rule)}'"


def at_least(value: Floats, floor: Floats, rule: str) -> Verdict:
    """Inclusive. A NaN (a text the parser failed on) was not measured and is not kept."""
    return Verdict(value >= floor, rule, value, floor)


def at_most(value: Floats, ceiling: Floats, rule: str) -> Verdict:
    return Verdict(value <= ceiling, rule, value, ceiling)
