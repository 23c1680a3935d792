"""Computes the bound for each row from a rule's options: one number, or numbers by granularity, producer or label.

All rules use this module. A bound for a label overrides one for a producer, which overrides the general one. A recipe
may give {quantile: 0.99} instead of a number; filters/judging/quantiles.py replaces it before the rule is called.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from engine.config.ranges import Amount, Share
from engine.errors import ConfigError, unknown
from engine.records.columns import Phrases, View
from engine.records.labels import without_case
from engine.records.shard import Floats, Numbers
from engine.schema import GRANULARITIES

# A number, or numbers by granularity: 10, or {brief: 10, more_detailed: 60}.
Bound = float | Mapping[str, float]
Amounts = Amount | Mapping[str, Amount]
Shares = Share | Mapping[str, Share]
Kinds = Annotated[Sequence[Literal["object", "text", "phrase"]], Field(min_length=1)]


def text_bounds(
    texts: View,
    option: str,
    given: Bound,
    *,
    defaults: Mapping[str, float],
    otherwise: float,
    by_producer: Mapping[str, Bound] = {},
) -> Floats:
    """The bound for each text. For phrases: the bound for each phrase, by the granularity of its text.

    `option`: the name of the option in errors. `given`: the recipe's value of the option. `defaults`: the bounds of
    granularities that `given` leaves out. `otherwise`: the bound for an unknown granularity. `by_producer`: bounds for
    some producers; a granularity that a producer's mapping leaves out has the general bound.
    """
    general = {"": otherwise, **defaults, **_by_granularity(option, given)}
    own = {
        name: general | _by_granularity(f"{option} of producer '{name}'", bound) for name, bound in by_producer.items()
    }
    granularity, words = _granularities(texts)
    table = [_along(general, words)]
    if not own:
        return table[0][granularity]
    producer, names = texts.codes("producer")
    row = np.zeros(len(names) + 1, np.int64)
    for number, name in enumerate(names):
        if name in own:
            row[number] = len(table)
            table.append(_along(own[name], words))
    bounds: Floats = np.stack(table)[row[producer], granularity]
    return bounds


def row_bounds(
    rows: View,
    option: str,
    given: float,
    *,
    by_producer: Mapping[str, float] = {},
    by_label: Mapping[str, float] = {},
) -> Floats:
    """The bound for each region, tag or score. `option`: the name of the option in errors. Labels are compared without
    regard to case, as in the consensus.
    """
    bounds = rows.lookup("producer", _numbers(f"{option} by producer", by_producer), _number(option, given))
    if not by_label:
        return bounds
    own = {without_case(label): number for label, number in _numbers(f"{option} by label", by_label).items()}
    codes, words = rows.codes("label")
    of_label = np.array([*(own.get(without_case(word), np.nan) for word in words), np.nan])[codes]
    return np.where(np.isnan(of_label), bounds, of_label)


def one_option(by_word: Mapping[str, Mapping[str, Any]], option: str, known: tuple[str, ...]) -> dict[str, Any]:
    """The bounds of one option, from {word: {option: bound}}. `known`: the options that the rule has. Raises
    ConfigError if a word has another option.
    """
    for word, bounds in by_word.items():
        if not isinstance(bounds, Mapping):
            example = ", ".join(f"{name}: .." for name in known)
            raise ConfigError(f"'{word}' has {bounds!r}, but this rule has several bounds: write {{{example}}}.")
        for name in bounds:
            if name not in known:
                raise unknown(f"bound for '{word}'", name, known)
    return {word: bounds[option] for word, bounds in by_word.items() if option in bounds}


def _by_granularity(option: str, given: Any) -> dict[str, float]:
    if not isinstance(given, Mapping):
        return dict.fromkeys(("", *GRANULARITIES), _number(option, given))
    for name in given:
        if name not in GRANULARITIES:
            raise unknown(f"granularity in {option}", str(name), GRANULARITIES)
    return {name: _number(f"{option} for '{name}'", number) for name, number in given.items()}


def _numbers(option: str, given: Mapping[str, Any]) -> dict[str, float]:
    return {name: _number(f"{option} '{name}'", number) for name, number in given.items()}


def _number(option: str, given: Any) -> float:
    if isinstance(given, bool) or not isinstance(given, int | float | np.number) or np.isnan(given):
        raise ConfigError(f"The bound {option} is {given!r}: give a number, or numbers by granularity, {{brief: 10}}.")
    return float(given)


def _granularities(texts: View) -> tuple[Numbers, list[str]]:
    """For each row the code of its granularity, and the words that the codes stand for. A phrase has the granularity of
    its text. A phrase without a text has the code after the last word.
    """
    if not isinstance(texts, Phrases):
        return texts.codes("granularity")
    codes, words = texts.shard.column("texts").codes("granularity")
    return np.append(codes, len(words))[texts.text], words


def _along(bounds: Mapping[str, float], words: list[str]) -> Floats:
    """The bound of each word, with the bound of '' added at the end. A word without a bound gets the bound of ''."""
    return np.array([bounds.get(word, bounds[""]) for word in (*words, "")], np.float64)
