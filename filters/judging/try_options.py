"""Checks a rule's options before a run. It calls the rule, because some errors show only in a call."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from engine.config.own_code import error_with_line
from engine.errors import ConfigError, EngineError
from engine.schema import IMAGES, PARSE, record_table
from filters.judging.apply_rules import judge
from filters.verdict import Rule


def try_options(name: str, rule: Rule, options: Mapping[str, Any]) -> None:
    """Apply the rule to a shard without images. Raises ConfigError if the options are wrong, for example an unknown
    granularity, a bound that is not a number, a file that does not exist, or a lower bound above the upper bound.
    """
    images = IMAGES.empty_table()
    for column in ("same_distance", "semantic_distance", "audit_distance"):
        images = images.append_column(column, pa.array(np.zeros(0)))
    try:
        judge(record_table([]), images, PARSE.empty_table(), [(name, rule, options)])
    except EngineError:
        raise
    except Exception as error:
        raise ConfigError(f"Filter '{name}' fails on a shard without images: {error_with_line(error)}.") from error
    _check_order(name, options)


def _check_order(name: str, options: Mapping[str, Any]) -> None:
    """Raises ConfigError if an option min_x is larger than max_x, which would drop everything."""
    for low in options:
        high = f"max_{low.removeprefix('min_')}"
        if low.startswith("min_") and high in options:
            for word, least, most in _pairs(options[low], options[high]):
                if least > most:
                    of = f" of '{word}'" if word else ""
                    raise ConfigError(f"Filter '{name}' has {low} {least:g} above {high} {most:g}{of}: swap them.")


def _pairs(low: Any, high: Any) -> Iterator[tuple[str, float, float]]:
    """Pairs of bounds to compare: (granularity, or '' for all; lower bound; upper bound)."""
    words = {word for bound in (low, high) if isinstance(bound, Mapping) for word in bound} or {""}
    for word in sorted(words):
        least, most = (bound.get(word) if isinstance(bound, Mapping) else bound for bound in (low, high))
        if isinstance(least, int | float) and isinstance(most, int | float):
            yield word, least, most
