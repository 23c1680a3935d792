"""Limits given as a share of the data set: `max_objects: {brief: {quantile: 0.99}}`.

Which number that is, only the whole set can tell. Until then a stand-in holds its place; the threshold of a verdict
says which of them governs a row, so a rule needs to know nothing of quantiles.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from engine.errors import ConfigError
from engine.records.shard import Floats
from filters.verdict import Verdict

Place = tuple[str, ...]  # the keys that lead to a limit inside a rule's options

_STAND_IN = float(2**50)  # beyond anything counted; and whole, for options that take whole numbers


def places(options: Mapping[str, Any]) -> dict[Place, float]:
    """Where quantiles stand in a rule's options, and which. ConfigError for one that is not inside 0 to 1."""
    return dict(_walk(options, ()))


def _walk(value: Any, place: Place) -> Iterator[tuple[Place, float]]:
    if not isinstance(value, Mapping):
        return
    if set(value) == {"quantile"} and place:
        share = value["quantile"]
        if not isinstance(share, int | float) or isinstance(share, bool) or not 0 < share < 1:
            raise ConfigError(f"'{'.'.join(place)}' has the quantile {share!r}: give a number between 0 and 1.")
        yield place, float(share)
        return
    for key, inner in value.items():
        yield from _walk(inner, (*place, str(key)))


def stand_ins(found: Sequence[Place]) -> dict[Place, float]:
    """A number of its own for each place, whose answer is not known yet."""
    return {place: _STAND_IN + number for number, place in enumerate(found)}


def filled(options: Mapping[str, Any], numbers: Mapping[Place, Any]) -> dict[str, Any]:
    """The options with these values at these places."""
    return {key: _fill(value, (str(key),), numbers) for key, value in options.items()}


def _fill(value: Any, place: Place, numbers: Mapping[Place, Any]) -> Any:
    if place in numbers:
        return numbers[place]
    if isinstance(value, Mapping):
        return {key: _fill(inner, (*place, str(key)), numbers) for key, inner in value.items()}
    return value


def governed(verdicts: Sequence[Verdict], stand_in: float) -> Floats:
    """The values that a limit was compared with; what was not measured is left out."""
    found = [np.zeros(0)]
    for verdict in verdicts:
        value, threshold = np.broadcast_arrays(np.asarray(verdict.value, np.float64), verdict.threshold, verdict.keep)[
            :2
        ]
        found.append(value[(threshold == stand_in) & np.isfinite(value)])
    return np.concatenate(found)


def quantile(values: Floats, counts: Floats, share: float) -> float:
    """The least value that at least `share` of all are at or below; 0 where there is none."""
    if not len(values):
        return 0.0
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(counts[order])
    at = int(np.searchsorted(reached, share * reached[-1] * (1 - 1e-12)))
    return float(values[order][at])
