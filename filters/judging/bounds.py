"""A threshold for each row: one number, or by granularity, by producer, by label. The one way all rules take them.

In a recipe {quantile: 0.99} may stand where a number does: filters/judging/quantiles.py puts the number in its place
before a rule is called. A threshold for a label takes precedence over one for a producer, and that over the general
one.
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
Kinds = Annotated[Sequence[Literal["object", "text"]], Field(min_length=1)]


def text_bounds(
    texts: View,
    option: str,
    given: Bound,
    *,
    defaults: Mapping[str, float],
    otherwise: float,
    by_producer: Mapping[str, Bound] = {},
) -> Floats:
    """For each text (or phrase, by its text) the bound that holds. A granularity that a mapping does not name keeps
    its default, and one that a producer's mapping does not name keeps what holds for everybody.

    `option` is the option's name in errors, `otherwise` what holds for a granularity nobody knows.
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
    """For each region (or score) the bound that holds. Labels are compared without regard to case, as the consensus
    does.
    """
    bounds = rows.lookup("producer", _numbers(f"{option} by producer", by_producer), _number(option, given))
    if not by_label:
        return bounds
    own = {without_case(label): number for label, number in _numbers(f"{option} by label", by_label).items()}
    codes, words = rows.codes("label")
    of_label = np.array([*(own.get(without_case(word), np.nan) for word in words), np.nan])[codes]
    return np.where(np.isnan(of_label), bounds, of_label)


def one_option(by_word: Mapping[str, Mapping[str, Any]], option: str, known: tuple[str, ...]) -> dict[str, Any]:
    """What {word: {option: bound}} says of one option. ConfigError for an option the rule does not have."""
    for word, bounds in by_word.items():
        if not isinstance(bounds, Mapping):
            example = ", ".join(f"{name}: .." for name in known)
            raise ConfigError(f"'{word}' is given {bounds!r}, but this rule has several bounds: say {{{example}}}.")
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
        raise ConfigError(f"The bound {option} is {given!r}: give a number, or one a granularity, {{brief: 10}}.")
    return float(given)


def _granularities(texts: View) -> tuple[Numbers, list[str]]:
    """Codes and words; a phrase has its text's, and none (the code behind the last word) if it has no text."""
    if not isinstance(texts, Phrases):
        return texts.codes("granularity")
    codes, words = texts.shard.column("texts").codes("granularity")
    return np.append(codes, len(words))[texts.text], words


def _along(bounds: Mapping[str, float], words: list[str]) -> Floats:
    """One a word, and one more for no word. What '' has holds for words nobody knows."""
    return np.array([bounds.get(word, bounds[""]) for word in (*words, "")], np.float64)
