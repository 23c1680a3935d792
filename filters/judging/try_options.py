"""Whether a rule can read its options, found out before anything runs: some errors only a call shows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from engine.config.own_code import error_and_place
from engine.errors import ConfigError, EngineError
from engine.schema import IMAGES, PARSE, record_table
from filters.judging.apply_rules import judge
from filters.verdict import Rule


def try_options(name: str, rule: Rule, options: Mapping[str, Any]) -> None:
    """Ask the rule about a shard without images. ConfigError for an unknown granularity, a bound that is no number,
    a file that is not there.
    """
    images = IMAGES.empty_table().append_column("same_distance", pa.array(np.zeros(0)))
    try:
        judge(record_table([]), images, PARSE.empty_table(), [(name, rule, options)])
    except EngineError:
        raise
    except Exception as error:
        raise ConfigError(f"Filter '{name}' fails on a shard without images: {error_and_place(error)}.") from error
    _check_order(name, options)


def _check_order(name: str, options: Mapping[str, Any]) -> None:
    """A lower bound above the upper one of the same thing drops everything."""
    for low in options:
        high = f"max_{low.removeprefix('min_')}"
        if low.startswith("min_") and high in options:
            for word, least, most in _pairs(options[low], options[high]):
                if least > most:
                    of = f" of '{word}'" if word else ""
                    raise ConfigError(f"Filter '{name}' has {low} {least:g} above {high} {most:g}{of}: exchange them.")


def _pairs(low: Any, high: Any) -> Iterator[tuple[str, float, float]]:
    """The numbers that bound the same thing: of all, or of a granularity."""
    words = {word for bound in (low, high) if isinstance(bound, Mapping) for word in bound} or {""}
    for word in sorted(words):
        least, most = (bound.get(word) if isinstance(bound, Mapping) else bound for bound in (low, high))
        if isinstance(least, int | float) and isinstance(most, int | float):
            yield word, least, most
