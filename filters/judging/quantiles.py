"""Limits that are given as a quantile of the data set, such as `max_objects: {brief: {quantile: 0.99}}`.

The value of a quantile is known only after a pass over the whole data set. For that pass each quantile is replaced by a
unique placeholder number. The threshold in a verdict then shows which quantile a row was compared with, so rules need
no code for quantiles.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from engine.errors import ConfigError
from engine.records.shard import Floats
from filters.verdict import Verdict

Path = tuple[str, ...]  # the keys that lead to a limit inside a rule's options

_PLACEHOLDER = float(2**50)  # larger than any count; a whole number, because some options take only those


def quantile_paths(options: Mapping[str, Any]) -> dict[Path, float]:
    """The quantiles in a rule's options: {path: share}. Raises ConfigError if a share is not between 0 and 1."""
    return dict(_walk(options, ()))


def _walk(value: Any, path: Path) -> Iterator[tuple[Path, float]]:
    if not isinstance(value, Mapping):
        return
    if set(value) == {"quantile"} and path:
        share = value["quantile"]
        if not isinstance(share, int | float) or isinstance(share, bool) or not 0 < share < 1:
            raise ConfigError(f"'{'.'.join(path)}' has the quantile {share!r}: give a number between 0 and 1.")
        yield path, float(share)
        return
    for key, inner in value.items():
        yield from _walk(inner, (*path, str(key)))


def placeholders(paths: Sequence[Path]) -> dict[Path, float]:
    """A unique placeholder number for each path."""
    return {path: _PLACEHOLDER + number for number, path in enumerate(paths)}


def filled(options: Mapping[str, Any], numbers: Mapping[Path, Any]) -> dict[str, Any]:
    """A copy of the options in which the value at each given path is replaced by its number."""
    return {key: _fill(value, (str(key),), numbers) for key, value in options.items()}


def _fill(value: Any, path: Path, numbers: Mapping[Path, Any]) -> Any:
    if path in numbers:
        return numbers[path]
    if isinstance(value, Mapping):
        return {key: _fill(inner, (*path, str(key)), numbers) for key, inner in value.items()}
    return value


def compared_values(verdicts: Sequence[Verdict], placeholder: float) -> Floats:
    """The values of the rows that were compared with this placeholder. Values that were not measured (NaN) are left
    out.
    """
    found = [np.zeros(0)]
    for verdict in verdicts:
        value, threshold = np.broadcast_arrays(np.asarray(verdict.value, np.float64), verdict.threshold, verdict.keep)[
            :2
        ]
        found.append(value[(threshold == placeholder) & np.isfinite(value)])
    return np.concatenate(found)


def quantile(values: Floats, counts: Floats, share: float) -> float:
    """The smallest value that is at least as large as a share `share` of all values; 0 if there are no values.
    `counts`: how often each value occurs.
    """
    if not len(values):
        return 0.0
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(counts[order])
    at = int(np.searchsorted(reached, share * reached[-1] * (1 - 1e-12)))
    return float(values[order][at])
